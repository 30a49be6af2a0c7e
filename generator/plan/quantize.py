"""Putting matrices on a grid: fitted on calibration text, one layer at a time."""

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.fitting import (
    ROUNDING,
    ROUNDING_ZEROS,
    plan_fitting,
    sequences_of,
)
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.passes import Passes
from leangen.generator.plan.step import sequence_length
from leangen.generator.stages.traits import has_zeros
from leangen.spec import Spec


def plan_quantize(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the quantization."""
    passes = Passes(
        model=spec.model,
        counts=counts,
        place=training_place(spec),
        length=sequence_length(spec),
        sequences=sequences_of(spec),
        precision=spec.train.precision,
    )
    change = ROUNDING_ZEROS if has_zeros(spec) else ROUNDING
    return plan_fitting("quantize", passes, change)
