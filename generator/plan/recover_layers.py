"""Recovery by layers: a layer of each model, its optimizer, and two models' hidden states."""

from dataclasses import replace

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.ledger import MIB, Item, StagePlan, arrange
from leangen.generator.plan.parameters import PUBLISHED, count
from leangen.generator.plan.passes import Passes
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.step import (
    Training,
    layer_bytes,
    layer_bytes_on_cpu,
    sequence_length,
    training_of,
)
from leangen.generator.plan.train_memory import ADAMW, FITTED, runtime
from leangen.spec import Spec
from leangen.spec.spec import Recover

# Python and torch, and what is read of a layer; CUDA's context and workspaces, as in training.
RUNTIME = {"cpu": 335 * MIB, "cuda": 790 * MIB}
# Of a step of the optimizer, in whole sequences: docs/decisions.md.
STEP_TOKENS = 512
# Of text, at most, beside what is held out: more tokens go through it several times. It
# bounds the hidden states: those of an 8B take 1.5 GiB in bf16.
TEXT_TOKENS = 2**16
# Of what a layer keeps for its backward pass: that and its gradients, and on a GPU, where it
# was not measured, as much again for what is not compiled into one kernel.
COPIES = {"cpu": 2, "cuda": 3}
HELD_OUT = 8  # sequences that tell how much of the error is gone


def plan_recover_layers(spec: Spec, recover: Recover) -> StagePlan:
    """Plan a recovery of one layer after the other."""
    length = sequence_length(spec)
    batch = max(1, STEP_TOKENS // length)
    steps = min(recover.tokens, TEXT_TOKENS) // (batch * length)
    sequences = max(1, steps) * batch
    training = replace(training_of(spec, count(spec.pruned), recover), batch_size=batch)
    text = Passes(
        model=spec.model,
        counts=count(spec.model),
        place=training_place(spec),
        length=length,
        sequences=sequences + HELD_OUT,
        precision=spec.train.precision,
    )
    beside = _ledger(training, text)
    states = text.calibration(copies=2, source="recover.py")
    held = arrange([*beside, states])
    budget = training.place.budget_bytes
    near = budget is None or sum(item.bytes for item in held) <= budget
    away = not near and training.place.device == "cuda"
    where = ", hidden states on the host" if away else ""
    return StagePlan(
        stage="recover",
        place=training.place,
        ledger=arrange(beside) if away else held,
        moment="end of a layer's backward pass",
        seconds=_seconds(text, recover.tokens),
        decisions=(f"one layer at a time, {batch} sequences a step{where}",),
        constants={
            "device": training.place.device,
            "batch_size": batch,
            "sequences": sequences,
            "held_out": HELD_OUT,
            "bf16": text.element == 2,
            "hidden_device": "cpu" if away else training.place.device,
        },
    )


def _ledger(training: Training, text: Passes) -> list[Item]:
    """List what is held beside the text's hidden states."""
    device, layer, dense = (
        training.place.device,
        training.counts.layer,
        text.counts.layer,
    )
    bits = 48 if text.element == 2 else 32
    copies = ", and copies to compute with" if bits == 48 else ""
    items = [
        runtime(device, RUNTIME),
        Item(
            "weights",
            dense * bits // 8,
            f"{dense:,} x {bits} bits: the dense model's{copies}",
            PUBLISHED,
        ),
        Item("master_weights", 4 * layer, f"{layer:,} x 32 bits", ADAMW),
        Item("optimizer", 8 * layer, f"{layer:,} x 2 moments x 32 bits", ADAMW),
        Item("gradients", 4 * layer, f"{layer:,} x 32 bits", ADAMW),
        _activations(training),
    ]
    if training.masked:
        mask = f"{layer:,} x 1 byte: which weights are zero"
        items.append(Item("metadata", layer, mask, "recover.py"))
    return items


def _activations(training: Training) -> Item:
    """Account for what a layer keeps of a step for its backward pass, and works in there."""
    tokens = training.batch_size * training.length
    on_cpu = training.place.device == "cpu"
    each = layer_bytes_on_cpu(training.model) if on_cpu else layer_bytes(training)
    copies = COPIES[training.place.device]
    formula = f"{copies} x {each:,} bytes x {tokens:,} tokens"
    return Item("activations", copies * each * tokens, formula, FITTED)


def _seconds(text: Passes, tokens: int) -> Seconds:
    """A step's three passes over its tokens, and one of each model over the text."""
    hardware = text.place.hardware
    rate = hardware.flops_bf16 if text.element == 2 else hardware.flops_float32
    work = 2 * text.counts.active * (3 * tokens + 2 * text.tokens)
    return over(work, rate, ARITHMETIC[hardware.kind])
