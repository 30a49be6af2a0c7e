"""Sensitivity: the whole model in float32, some text, and a pass for each part."""

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.ledger import MEASURED, Item, StagePlan, arrange
from leangen.generator.plan.parameters import PUBLISHED, Counts
from leangen.generator.plan.passes import RUNTIME
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.step import sequence_length
from leangen.generator.plan.train_memory import runtime
from leangen.spec import Spec
from leangen.spec.spec import Model

TOKENS = 512  # of a pass
LENGTH = 128  # of a sequence, at most: what is rounded is felt in short ones, too
FEW, MANY = 4, 8  # bits of integers that every engine has
AVERAGES = (4.25, 4.5, 5.0, 6.0)  # bits of a weight that users look for a choice at
LOGITS = 5  # arrays of a sequence's logits, while two models' are compared


def plan_sensitivity(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the measurement of what matrices lose by their bits."""
    place = training_place(spec)
    length = min(LENGTH, sequence_length(spec))
    groups = _groups(spec.model)
    return StagePlan(
        stage="sensitivity",
        place=place,
        ledger=arrange(_ledger(spec, counts, length)),
        moment="two models' predictions",
        seconds=_seconds(spec, counts, len(groups)),
        decisions=(f"a pass for each of {len(groups)} parts of each layer",),
        constants={
            "device": place.device,
            "sequences": TOKENS // length,
            "length": length,
            "few": FEW,
            "many": MANY,
            "averages": AVERAGES,
            "groups": groups,
        },
    )


def _groups(model: Model) -> tuple[str, ...]:
    """Name what engines multiply by as one: vLLM's fused matrices, ONNX Runtime's experts."""
    gated = f"{model.gate} {model.up}"
    if model.num_experts:
        return "q_proj k_proj v_proj", "o_proj", f"{gated} {model.down}"
    return "q_proj k_proj v_proj", "o_proj", gated, model.down


def _ledger(spec: Spec, counts: Counts, length: int) -> list[Item]:
    """List what is held: the model, what it says of the text, and a sequence of logits."""
    vocabulary, matrix = spec.model.vocab_size, counts.largest
    truth = f"{TOKENS:,} tokens x {vocabulary:,} x 32 bits"
    work = f"{LOGITS} x {length} tokens x {vocabulary:,} x 32 bits"
    total = f"{counts.total:,} x 32 bits"
    return [
        runtime(training_place(spec).device, RUNTIME),
        Item("weights", 4 * counts.total, total, PUBLISHED),
        Item("teacher", 4 * TOKENS * vocabulary, truth, MEASURED),
        Item("logits", 4 * LOGITS * length * vocabulary, work, MEASURED),
        Item("activations", 24 * matrix, f"{matrix:,} weights x 24 bytes", MEASURED),
    ]


def _seconds(spec: Spec, counts: Counts, groups: int) -> Seconds:
    """Half of the layers, on average, and the head, for each part of each layer."""
    hardware = spec.train.hardware
    passes = spec.model.num_hidden_layers * groups
    work = passes * TOKENS * 2 * (counts.active / 2 + counts.embedding)
    return over(work, hardware.flops_float32, ARITHMETIC[hardware.kind])
