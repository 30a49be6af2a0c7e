"""Fitting to calibration text: two models' hidden states, a layer of each, and its moments."""

from functools import partial

from leangen.generator.plan.ledger import MIB, Item, StagePlan, largest
from leangen.generator.plan.parameters import PUBLISHED
from leangen.generator.plan.passes import RUNTIME, Passes, plan_passes
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.train_memory import runtime
from leangen.generator.stages.traits import on_grid, surgical
from leangen.spec import Spec

# What cuSOLVER and its workspaces add to CUDA's: measured with SmolLM2-135M on one H200.
SOLVER = {"cpu": 0, "cuda": 360 * MIB}
USEFUL_TOKENS = {"cpu": 4_096, "cuda": 8_192}  # at once: chosen
# Of a matrix while it is changed: as it was, its goal, itself, and in conjugate gradients
# what is left, the step, what it moves and a product, in float32, and which stay; beside
# it the sum of its errors.
BYTES_OF_CHANGE = 33
# On a CPU glibc keeps much of what is freed: fitted to SmolLM2-135M, torch 2.13.0 on x86.
KEPT = {"cpu": 2.25, "cuda": 1}
STEPS = 4  # of a layer, whose matrices are fitted one behind the other


def sequences_of(spec: Spec) -> int:
    """Count the sequences that a fit reads: two stages that fit share a micro-batch."""
    pruning, rounding = spec.sparsity, spec.quantization
    return max(
        pruning.calibration_sequences if surgical(spec) else 0,
        rounding.calibration_sequences if on_grid(spec) else 0,
    )


def plan_fitting(stage: str, passes: Passes) -> StagePlan:
    """Plan a stage that changes matrices and fits them."""
    useful = USEFUL_TOKENS[passes.place.device]
    held = partial(ledger, passes)
    return plan_passes(stage, passes, useful, held, _seconds(passes))


def ledger(passes: Passes, sequences: int, near: bool) -> tuple[str, tuple[Item, ...]]:
    """List what is held while moments are summed, and while a matrix is changed."""
    device = passes.place.device
    base = [runtime(device, {device: RUNTIME[device] + SOLVER[device]})]
    base += [_weights(passes)]
    base += [passes.calibration(copies=2)] if near else []
    summing = _hessians(passes, 1), _results(passes, sequences)
    changing = _hessians(passes, 4), _change(passes)
    return largest(
        ("summing over the text", [*base, *summing]),
        ("changing a matrix", [*base, *changing]),
    )


def _weights(passes: Passes) -> Item:
    """Account for a layer of both models, and on a CPU for what is read of it."""
    layer = passes.counts.layer
    on_gpu = passes.place.device == "cuda"
    bits = 16 * passes.element if on_gpu else 128
    note = "both models'" if on_gpu else "both models', as stored, changed"
    formula = f"{layer:,} x {bits} bits: {note}"
    return Item("weights", layer * bits // 8, formula, PUBLISHED)


def _hessians(passes: Passes, copies: int) -> Item:
    """Account for the second moments of the widest input: themselves, and factors."""
    width = max(passes.model.hidden_size, passes.model.intermediate_size)
    formula = f"{copies} x {width:,} x {width:,} x 32 bits"
    return Item("hessians", copies * 4 * width**2, formula, "fitting.py")


def _results(passes: Passes, sequences: int) -> Item:
    """Account for what the gates and what they gate make of some sequences.

    In float32 of both models, and what they miss; what they read, of both.
    """
    model, tokens = passes.model, sequences * passes.length
    each = 24 * model.intermediate_size + (8 + 4 * passes.element) * model.hidden_size
    each = int(KEPT[passes.place.device] * each)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    return Item("activations", tokens * each, formula, "fitting.py")


def _change(passes: Passes) -> Item:
    """Account for the largest matrix while it is changed, and for its errors."""
    size = passes.counts.largest
    formula = f"{size:,} weights x {BYTES_OF_CHANGE} bytes"
    return Item("activations", BYTES_OF_CHANGE * size, formula, "fitting.py")


def _seconds(passes: Passes) -> Seconds:
    """Passes of both models for every step, one more, and the moments of what is read."""
    hardware, tokens = passes.place.hardware, passes.tokens
    model, layers = passes.model, passes.model.num_hidden_layers
    squares = 3 * model.hidden_size**2 + model.intermediate_size**2
    work = 2 * tokens * passes.counts.active * 2 * (STEPS + 1)
    moments = 2 * tokens * (layers * squares + passes.counts.active)
    return over(work + moments, hardware.flops_float32, ARITHMETIC[hardware.kind])
