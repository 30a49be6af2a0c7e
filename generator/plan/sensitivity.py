"""Sensitivity: the whole model in float32, and squares of gradients of its matrices."""

from collections.abc import Mapping

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.ledger import Item, StagePlan, arrange
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.passes import RUNTIME
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.step import sequence_length
from leangen.generator.plan.storage import float32
from leangen.generator.plan.train_memory import runtime
from leangen.spec import Spec
from leangen.spec.spec import Model

TOKENS = 2048  # that the information comes from
MEASURED = 512  # of them, on which choices are measured
LENGTH = 128  # of a sequence, at most: what is rounded is felt in short ones, too
FEW, MANY = 4, 8  # bits of integers that every engine has
AVERAGES = (4.25, 4.5, 5.0, 6.0)  # bits of a weight that users look for a choice at
COUNTED = "counted from the script"
LOGITS = 5  # arrays of a sequence's logits, while they are compared, or drawn from


def plan_sensitivity(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the measurement of what matrices lose by their bits."""
    ledger = _ledger(spec, counts, length_of(spec))
    constants = {"few": FEW, "many": MANY, "averages": AVERAGES}
    return plan_choices("sensitivity", spec, ledger, _seconds(spec, counts), constants)


def plan_choices(
    stage: str,
    spec: Spec,
    ledger: list[Item],
    seconds: Seconds,
    constants: Mapping[str, object],
) -> StagePlan:
    """Plan a stage that measures what parts of layers lose, and chooses among them."""
    place, length = training_place(spec), length_of(spec)
    groups = groups_of(spec.model)
    return StagePlan(
        stage=stage,
        place=place,
        ledger=arrange(ledger),
        moment="a sequence's gradients",
        seconds=seconds,
        decisions=(f"choices among {len(groups)} parts of each layer",),
        constants={
            "device": place.device,
            "sequences": TOKENS // length,
            "length": length,
            "measured": MEASURED // length,
            "groups": groups,
            **constants,
        },
    )


def length_of(spec: Spec) -> int:
    """Choose how many tokens a sequence has."""
    return min(LENGTH, sequence_length(spec))


def groups_of(model: Model) -> tuple[str, ...]:
    """Name what engines multiply by as one: vLLM's fused matrices, ONNX Runtime's experts."""
    gated = f"{model.gate} {model.up}"
    if model.num_experts:
        return "q_proj k_proj v_proj", "o_proj", f"{gated} {model.down}"
    return "q_proj k_proj v_proj", "o_proj", gated, model.down


def _ledger(spec: Spec, counts: Counts, length: int) -> list[Item]:
    """List what is held: the model, gradients, their squares, and what a sequence keeps."""
    vocabulary, matrices = spec.model.vocab_size, counts.matrices
    work = f"{LOGITS} x {length} tokens x {vocabulary:,} x 32 bits"
    return [
        runtime(training_place(spec).device, RUNTIME),
        float32("weights", counts.total),
        float32("gradients", matrices),
        float32("hessians", matrices),
        kept_by_layers(spec.model, length),
        Item("logits", 4 * LOGITS * length * vocabulary, work, COUNTED),
    ]


def kept_by_layers(model: Model, length: int) -> Item:
    """Account for what layers keep for the backward pass, in float32.

    Ten tensors as wide as the stream, and four of the feed-forward's width.
    """
    width = max(model.intermediate_size, model.moe_intermediate_size)
    each = 4 * (10 * model.hidden_size + 4 * width * max(1, model.num_experts_per_tok))
    layers = model.num_hidden_layers
    formula = f"{layers} layers x {length} tokens x {each:,} bytes"
    return Item("activations", layers * length * each, formula, COUNTED)


def _seconds(spec: Spec, counts: Counts) -> Seconds:
    """A pass forwards and two backwards of all tokens, and the passes that measure."""
    hardware = spec.train.hardware
    tokens = 3 * TOKENS + (len(AVERAGES) + 3) * MEASURED
    work = tokens * 2 * (counts.active + counts.embedding)
    return over(work, hardware.flops_float32, ARITHMETIC[hardware.kind])
