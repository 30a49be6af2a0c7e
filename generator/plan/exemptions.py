"""Exemptions: the whole model in float32, gradients of its matrices, and marks on them."""

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.ledger import Item, StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.sensitivity import (
    MEASURED,
    TOKENS,
    kept_by_layers,
    length_of,
    plan_choices,
)
from leangen.generator.plan.storage import float32
from leangen.generator.plan.train_memory import FITTED, RUNTIME, runtime
from leangen.spec import Spec

POINTS = 8  # from dense to pruned: shares added up to 1.02 of SmolLM2's loss
SHARES = (0.05, 0.1, 0.25, 0.5)  # of dense weights that users look for a choice at
LOGITS = 13  # arrays of a sequence, while a loss goes backwards, and gaps of the heap


def plan_exemptions(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the measurement of what matrices lose by the pattern of zeros."""
    ledger = _ledger(spec, counts, length_of(spec))
    constants = {"points": POINTS, "shares": SHARES}
    return plan_choices("exemptions", spec, ledger, _seconds(spec, counts), constants)


def _ledger(spec: Spec, counts: Counts, length: int) -> list[Item]:
    """List what is held: the model, gradients, marks, predictions, and what a sequence keeps."""
    vocabulary, matrices = spec.model.vocab_size, counts.matrices
    arrays = LOGITS + 2 * MEASURED // length  # what is predicted of two texts, besides
    work = f"{arrays} x {length} tokens x {vocabulary:,} x 32 bits"
    marks = f"{matrices:,} x 1 byte: which weights stay"
    return [
        runtime(training_place(spec).device, RUNTIME),
        float32("weights", counts.total),
        float32("gradients", matrices),
        Item("metadata", matrices, marks, "exemptions.py"),
        kept_by_layers(spec.model, length),
        Item("logits", 4 * arrays * length * vocabulary, work, FITTED),
    ]


def _seconds(spec: Spec, counts: Counts) -> Seconds:
    """A pass that sees inputs, one forwards and two backwards a point, and the choices."""
    hardware = spec.train.hardware
    tokens = TOKENS + (2 + 3 * POINTS + len(SHARES) + 1) * MEASURED
    work = tokens * 2 * (counts.active + counts.embedding)
    return over(work, hardware.flops_float32, ARITHMETIC[hardware.kind])
