"""Fitting to calibration text: two models' hidden states, a layer of each, and its moments."""

from dataclasses import dataclass, replace
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
# On a CPU glibc keeps much of what is freed: fitted to SmolLM2-135M, torch 2.13.0 on x86.
KEPT = {"cpu": 2.25, "cuda": 1}
# Seconds that one column's weights take to fix: on one H200 and on two x86 cores.
COLUMN = {"cpu": (1e-4, 1e-3), "cuda": (1e-5, 3e-5)}
ROWS = 2_048  # of a matrix, which are refined at once: chosen
REFINEMENTS = 30  # of a matrix, by conjugate gradients
PASSES = 3  # one of the reference's, two of the changed model's
# Of rows that are refined: how far they are, what is left, the step, what it moves, the
# next step, and products of two of these, in float32.
BYTES_OF_ROWS = 24


@dataclass(frozen=True)
class Change:
    """Bytes a weight that are held while H is factored, columns are fixed, and what stays is fitted."""

    factoring: int
    fixing: int
    refining: int  # 0 where nothing is fitted once more


PRUNING = Change(4, 8, 9)  # the goal; what comes of it; which weights stay
# The goal; what comes of it, in two orders, and its scales; with zeros a second goal, and
# twice which weights stay.
ROUNDING, ROUNDING_ZEROS = Change(4, 16, 0), Change(9, 22, 9)


@dataclass(frozen=True)
class Stack:
    """Matrices that are changed as one, and how many numbers of a token tell what they miss."""

    inputs: int
    outputs: int
    missed: int


def sequences_of(spec: Spec) -> int:
    """Count the sequences that a fit reads: two stages that fit share a micro-batch."""
    pruning, rounding = spec.sparsity, spec.quantization
    return max(
        pruning.calibration_sequences if surgical(spec) else 0,
        rounding.calibration_sequences if on_grid(spec) else 0,
    )


def plan_fitting(stage: str, passes: Passes, change: Change) -> StagePlan:
    """Plan a stage that changes matrices and fits them."""
    room = USEFUL_BYTES // _bytes_a_token(passes)
    useful = min(USEFUL_TOKENS[passes.place.device], room)
    held = partial(ledger, passes, change)
    planned = plan_passes(stage, passes, useful, held, _seconds(passes))
    constants = {**planned.constants, "refinements": REFINEMENTS, "rows": ROWS}
    return replace(planned, constants=constants)


def ledger(
    passes: Passes, change: Change, sequences: int, near: bool
) -> tuple[str, tuple[Item, ...]]:
    """List what is held while moments are summed, and while a matrix is changed."""
    device = passes.place.device
    base = [runtime(device, {device: RUNTIME[device] + SOLVER[device]})]
    base += [_weights(passes)]
    copies = 1 if device == "cuda" else 2  # the reference's lie on the host
    base += [passes.calibration(copies)] if near else []
    work = _results(passes, sequences)
    moments: list[tuple[str, list[Item]]] = []
    for stack in _stacks(passes.model):
        moments += [
            ("summing over the text", [*base, _sums(stack), work]),
            ("factoring H", [*base, *_change(stack, 3, change.factoring)]),
            ("fixing columns", [*base, *_change(stack, 2, change.fixing)]),
        ]
        if change.refining:
            rows = min(ROWS, stack.outputs)
            held = _change(stack, 1, change.refining, rows)
            moments.append(("refining", [*base, *held]))
    return largest(*moments)


def _stacks(model: Model) -> tuple[Stack, ...]:
    """Give what is changed as one: what reads the stream misses it by its inputs."""
    hidden, inner = model.hidden_size, model.intermediate_size
    query = model.num_attention_heads * model.head_dim
    shared = model.num_key_value_heads * model.head_dim
    return (
        Stack(hidden, query + 2 * shared, hidden),
        Stack(query, hidden, hidden),
        Stack(hidden, 2 * inner, hidden),
        Stack(inner, hidden, hidden),
    )


def _weights(passes: Passes) -> Item:
    """Account for a layer of both models, and on a CPU for what is read of it."""
    layer = passes.counts.layer
    on_gpu = passes.place.device == "cuda"
    bits = 16 * passes.element if on_gpu else 128
    note = "both models'" if on_gpu else "both models', as stored, changed"
    formula = f"{layer:,} x {bits} bits: {note}"
    return Item("weights", layer * bits // 8, formula, PUBLISHED)


def _sums(stack: Stack) -> Item:
    """Account for the second moments of what is read, and of what is missed with it."""
    inputs, missed = stack.inputs, stack.missed
    formula = f"({inputs:,} + {missed:,}) x {inputs:,} x 32 bits"
    return Item("hessians", 4 * (inputs + missed) * inputs, formula, "fitting.py")


def _results(passes: Passes, sequences: int) -> Item:
    """Account for what a feed-forward and its stream hold of some sequences."""
    tokens, each = sequences * passes.length, _bytes_a_token(passes)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    return Item("activations", tokens * each, formula, "fitting.py")


def _bytes_a_token(passes: Passes) -> int:
    """Bytes that a layer's work on a token takes: in its feed-forward, or in its attention.

    Grouped heads have no fused float32 kernel on CUDA (torch 2.11): the attention weights are
    there twice (2,497 MiB more than without them where 2,304 are so counted, on one H200).
    """
    model, on_gpu = passes.model, passes.place.device == "cuda"
    hidden, inner = model.hidden_size, model.intermediate_size
    each = passes.element * max(3 * inner + 2 * hidden, 8 * hidden)
    if (
        on_gpu
        and passes.element == 4
        and model.num_key_value_heads != (heads := model.num_attention_heads)
    ):
        each = max(each, 44 * hidden + 8 * heads * passes.length)
    return int(KEPT[passes.place.device] * each)


def _change(stack: Stack, factors: int, each: int, rows: int = 0) -> tuple[Item, Item]:
    """Account for matrices while they are changed, and for H and what is made of it."""
    inputs, weights = stack.inputs, stack.inputs * stack.outputs
    squares = f"{factors} x {inputs:,} x {inputs:,} x 32 bits"
    formula = f"{weights:,} weights x {each} bytes"
    formula += f" + {rows:,} x {inputs:,} x {BYTES_OF_ROWS} bytes" if rows else ""
    size = each * weights + rows * inputs * BYTES_OF_ROWS
    return (
        Item("hessians", factors * 4 * inputs**2, squares, "surgery.py"),
        Item("activations", size, formula, "surgery.py"),
    )


def _seconds(passes: Passes) -> Seconds:
    """Passes of both models, the moments of what is read, and each column's turn."""
    hardware, tokens = passes.place.hardware, passes.tokens
    layers, stacks = passes.model.num_hidden_layers, _stacks(passes.model)
    half = passes.element == 2
    shares = ARITHMETIC[hardware.kind]
    rate = hardware.flops_bf16 if half else hardware.flops_float32
    sums = sum((one.inputs + one.missed) * one.inputs for one in stacks)
    moments = 2 * tokens * layers * sums
    columns = layers * sum(one.inputs for one in stacks)
    parts = (
        over(2 * tokens * passes.counts.active * PASSES, rate, shares),
        over(moments, rate, shares),
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
