"""Fitting to calibration text: two models' hidden states, a layer of each, and its moments."""

from dataclasses import replace
from functools import partial

from leangen.generator.plan.ledger import MIB, Item, StagePlan, largest
from leangen.generator.plan.parameters import PUBLISHED
from leangen.generator.plan.passes import RUNTIME, Passes, plan_passes
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.train_memory import runtime
from leangen.generator.stages.traits import on_grid, surgical
from leangen.spec import Spec
from leangen.spec.spec import Model

# What cuSOLVER and workspaces add to CUDA's: measured with an 8B Llama's shape on one H200.
SOLVER = {"cpu": 0, "cuda": 230 * MIB}
# At once, at most: chosen. Fewer where a token takes more than so many bytes leave room for.
USEFUL_TOKENS = {"cpu": 4_096, "cuda": 16_384}
USEFUL_BYTES = 640 * MIB
# Of matrices while they are changed: as they were, their goal, themselves, and in conjugate
# gradients what is left, the step, what it moves and the next step, in float32, and which stay.
BYTES_OF_CHANGE = 29
FACTORS = 3  # H, its inverse, and the triangle of that
# On a CPU glibc keeps much of what is freed: fitted to SmolLM2-135M, torch 2.13.0 on x86.
KEPT = {"cpu": 2.25, "cuda": 1}
# Seconds that one column's weights take to fix: on one H200 and on two x86 cores.
COLUMN = {"cpu": (1e-4, 1e-3), "cuda": (1e-5, 3e-5)}
REFINEMENTS = 30  # of a matrix, by conjugate gradients
PASSES = 4  # one and a half of the reference's, two and a half of the changed model's


def sequences_of(spec: Spec) -> int:
    """Count the sequences that a fit reads: two stages that fit share a micro-batch."""
    pruning, rounding = spec.sparsity, spec.quantization
    return max(
        pruning.calibration_sequences if surgical(spec) else 0,
        rounding.calibration_sequences if on_grid(spec) else 0,
    )


def plan_fitting(stage: str, passes: Passes) -> StagePlan:
    """Plan a stage that changes matrices and fits them."""
    room = USEFUL_BYTES // _bytes_a_token(passes)
    useful = min(USEFUL_TOKENS[passes.place.device], room)
    held = partial(ledger, passes)
    planned = plan_passes(stage, passes, useful, held, _seconds(passes))
    constants = {**planned.constants, "refinements": REFINEMENTS}
    return replace(planned, constants=constants)


def ledger(passes: Passes, sequences: int, near: bool) -> tuple[str, tuple[Item, ...]]:
    """List what is held while moments are summed, and while a matrix is changed."""
    device = passes.place.device
    base = [runtime(device, {device: RUNTIME[device] + SOLVER[device]})]
    base += [_weights(passes)]
    base += [passes.calibration(copies=2)] if near else []
    work = _results(passes, sequences)
    moments: list[tuple[str, list[Item]]] = []
    for inputs, outputs in _stacks(passes.model):
        moments += [
            ("summing over the text", [*base, _sums(inputs, outputs), work]),
            ("changing matrices", [*base, *_change(inputs, outputs)]),
        ]
    return largest(*moments)


def _stacks(model: Model) -> tuple[tuple[int, int], ...]:
    """Give inputs and outputs of matrices that are changed as one."""
    hidden, inner = model.hidden_size, model.intermediate_size
    query = model.num_attention_heads * model.head_dim
    shared = model.num_key_value_heads * model.head_dim
    attention = (hidden, query + 2 * shared), (query, hidden)
    return *attention, (hidden, 2 * inner), (inner, hidden)


def _weights(passes: Passes) -> Item:
    """Account for a layer of both models, and on a CPU for what is read of it."""
    layer = passes.counts.layer
    on_gpu = passes.place.device == "cuda"
    bits = 16 * passes.element if on_gpu else 128
    note = "both models'" if on_gpu else "both models', as stored, changed"
    formula = f"{layer:,} x {bits} bits: {note}"
    return Item("weights", layer * bits // 8, formula, PUBLISHED)


def _sums(inputs: int, outputs: int) -> Item:
    """Account for the second moments of what is read, and of what is missed with it."""
    formula = f"({inputs:,} + {outputs:,}) x {inputs:,} x 32 bits"
    return Item("hessians", 4 * (inputs + outputs) * inputs, formula, "fitting.py")


def _results(passes: Passes, sequences: int) -> Item:
    """Account for what a feed-forward and its stream hold of some sequences."""
    tokens, each = sequences * passes.length, _bytes_a_token(passes)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    return Item("activations", tokens * each, formula, "fitting.py")


def _bytes_a_token(passes: Passes) -> int:
    """Bytes that a layer's work on a token takes."""
    model = passes.model
    each = 4 * passes.element * (model.intermediate_size + model.hidden_size)
    return int(KEPT[passes.place.device] * each)


def _change(inputs: int, outputs: int) -> tuple[Item, Item]:
    """Account for matrices while they are changed, and for H and what is made of it."""
    squares = f"{FACTORS} x {inputs:,} x {inputs:,} x 32 bits"
    weights = inputs * outputs
    formula = f"{weights:,} weights x {BYTES_OF_CHANGE} bytes"
    return (
        Item("hessians", FACTORS * 4 * inputs**2, squares, "surgery.py"),
        Item("activations", BYTES_OF_CHANGE * weights, formula, "surgery.py"),
    )


def _seconds(passes: Passes) -> Seconds:
    """Passes of both models, the moments of what is read, and each column's turn."""
    hardware, tokens = passes.place.hardware, passes.tokens
    model, layers = passes.model, passes.model.num_hidden_layers
    half = passes.element == 2
    shares = ARITHMETIC[hardware.kind]
    # Tensor cores take TF32 at half the rate of 16 bits.
    tf32 = hardware.flops_bf16 / 2 if half else hardware.flops_float32
    rate = hardware.flops_bf16 if half else hardware.flops_float32
    squares = 3 * model.hidden_size**2 + model.intermediate_size**2
    moments = 2 * tokens * (layers * squares + passes.counts.active)
    columns = layers * sum(inputs for inputs, _ in _stacks(model))
    parts = (
        over(2 * tokens * passes.counts.active * PASSES, rate, shares),
        over(moments, tf32, shares),
        over(_refining(passes), hardware.flops_float32, shares),
        tuple(columns * seconds for seconds in COLUMN[hardware.kind]),
    )
    best, worst = (sum(ends) for ends in zip(*parts, strict=True))
    return best, worst


def _refining(passes: Passes) -> int:
    """Count the operations of conjugate gradients, in each matrix of the layers."""
    model = passes.model
    inner, outer = model.intermediate_size, model.hidden_size
    attention = (
        passes.counts.layer - 3 * inner * outer
    )  # weights, and a few of the norms
    products = attention * outer + 2 * inner * outer**2 + outer * inner**2
    return 2 * REFINEMENTS * model.num_hidden_layers * products
