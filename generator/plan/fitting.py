"""Fitting to calibration text: two models' hidden states, a layer of each, and its moments."""

from leangen.generator.plan.ledger import MIB, Item, StagePlan, arrange, largest
from leangen.generator.plan.parameters import PUBLISHED
from leangen.generator.plan.passes import RUNTIME, Passes
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.train_memory import FITTED, runtime

# What cuSOLVER and its workspaces add to CUDA's: measured with SmolLM2-135M on one H200.
SOLVER = {"cpu": 0, "cuda": 360 * MIB}
USEFUL_TOKENS = {"cpu": 4_096, "cuda": 8_192}  # at once: chosen
# Of a matrix while it is changed: as it was, its goal, itself, and in conjugate gradients
# what is left, the step, what it moves and a product, in float32, and which stay.
BYTES_OF_CHANGE = 29
STEPS = 4  # of a layer, whose matrices are fitted one behind the other


def plan_fitting(stage: str, passes: Passes) -> StagePlan:
    """Plan a stage that changes matrices and fits them."""
    near = fits(passes, 1, near=True)
    sequences = micro_batch(passes, near)
    moment, items = ledger(passes, sequences, near)
    where = "" if near else ", hidden states on the host"
    return StagePlan(
        stage=stage,
        place=passes.place,
        ledger=items,
        moment=moment,
        seconds=_seconds(passes),
        decisions=(f"one layer at a time, {sequences} sequences at once{where}",),
        constants={
            "device": passes.place.device,
            "micro_batch": sequences,
            "bf16": passes.element == 2,
            "hidden_device": passes.place.device if near else "cpu",
        },
    )


def fits(passes: Passes, sequences: int, near: bool) -> bool:
    """Tell whether so many sequences at once fit the budget.

    `near`: with the hidden states of all in the device's memory, not in its host's.
    """
    budget = passes.place.budget_bytes
    size = sum(item.bytes for item in ledger(passes, sequences, near)[1])
    return budget is None or size <= budget


def micro_batch(passes: Passes, near: bool) -> int:
    """Choose the most calibration sequences at once that help and fit."""
    most = max(1, USEFUL_TOKENS[passes.place.device] // passes.length)
    for n in (64, 32, 16, 8, 4, 2):
        if n <= most and fits(passes, n, near):
            return n
    return 1


def ledger(passes: Passes, sequences: int, near: bool) -> tuple[str, tuple[Item, ...]]:
    """List what is held while moments are summed, and while a matrix is changed."""
    device = passes.place.device
    base = [runtime(device, {device: RUNTIME[device] + SOLVER[device]})]
    base += [_weights(passes)]
    base += [_calibration(passes)] if near else []
    summing = _hessians(passes, 1), _results(passes, sequences)
    changing = _hessians(passes, 4), _change(passes)
    return largest(
        ("summing over the text", arrange([*base, *summing])),
        ("changing a matrix", arrange([*base, *changing])),
    )


def _weights(passes: Passes) -> Item:
    """Account for a layer of both models, and on a CPU for what is read of it."""
    layer = passes.counts.layer
    on_gpu = passes.place.device == "cuda"
    bits = 16 * passes.element if on_gpu else 128
    note = "both models'" if on_gpu else "both models', as stored, changed"
    formula = f"{layer:,} x {bits} bits: {note}"
    return Item("weights", layer * bits // 8, formula, PUBLISHED)


def _calibration(passes: Passes) -> Item:
    """Account for the hidden states of the calibration text in both models."""
    length, width, bits = passes.length, passes.model.hidden_size, 8 * passes.element
    formula = f"2 x {passes.sequences} x {length} tokens x {width} x {bits} bits"
    return Item("calibration", 2 * passes.calibration_bytes, formula, "fitting.py")


def _widest(passes: Passes) -> int:
    """Inputs of the widest matrix."""
    return max(passes.model.hidden_size, passes.model.intermediate_size)


def _hessians(passes: Passes, copies: int) -> Item:
    """Account for the second moments of the widest input: themselves, and factors."""
    width = _widest(passes)
    formula = f"{copies} x {width:,} x {width:,} x 32 bits"
    return Item("hessians", copies * 4 * width**2, formula, "fitting.py")


def _results(passes: Passes, sequences: int) -> Item:
    """Account for what the gates and what they gate make of some sequences.

    In float32 of both models, and what they miss; what they read, of both.
    """
    model, tokens = passes.model, sequences * passes.length
    each = 24 * model.intermediate_size + (8 + 4 * passes.element) * model.hidden_size
    formula = f"{tokens:,} tokens x {each:,} bytes"
    return Item("activations", tokens * each, formula, FITTED)


def _change(passes: Passes) -> Item:
    """Account for the largest matrix while it is changed, and for its errors."""
    size, each = passes.counts.largest, BYTES_OF_CHANGE + 4
    formula = f"{size:,} weights x {each} bytes"
    return Item("activations", each * size, formula, FITTED)


def _seconds(passes: Passes) -> Seconds:
    """Passes of both models for every step, one more, and the moments of what is read."""
    hardware, tokens = passes.place.hardware, passes.sequences * passes.length
    model, layers = passes.model, passes.model.num_hidden_layers
    squares = 3 * model.hidden_size**2 + model.intermediate_size**2
    work = 2 * tokens * passes.counts.active * 2 * (STEPS + 1)
    moments = 2 * tokens * (layers * squares + passes.counts.active)
    return over(work + moments, hardware.flops_float32, ARITHMETIC[hardware.kind])
