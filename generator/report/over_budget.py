"""The error of a spec that does not fit: the arithmetic, and what would make it fit."""

from collections.abc import Sequence

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.suggest import Suggestion
from leangen.generator.report.units import changed, size
from leangen.spec import Diagnostic, Spec, diagnostic_at

OVER_BUDGET = "over-budget"  # code of the error
LISTED = "choose one of the changes under: it would fit with"


def excesses(spec: Spec, planned: Plan, remedy: str) -> list[Diagnostic]:
    """Point at the budget of each stage that is over it; the last one has the remedy."""
    failing = [stage for stage in planned.stages.values() if not stage.fits]
    return [
        diagnostic_at(
            spec,
            stage.place.field,
            code=OVER_BUDGET,
            message=_arithmetic(stage),
            suggestion=remedy if stage is failing[-1] else "",
        )
        for stage in failing
    ]


def remedy_of(found: Sequence[Suggestion]) -> str:
    """List the changes that make it fit, as a spec would say them."""
    if not found:
        return "none of the changes of one or two fields that were tried makes it fit"
    return "it fits with " + "; or ".join(map(_change, found))


def _arithmetic(stage: StagePlan) -> str:
    """Spell the sum out, the largest items first."""
    items = sorted(stage.ledger, key=lambda item: -item.bytes)
    shown = [f"{item.item} {size(item.bytes)}" for item in items if item.bytes >= 2**20]
    assert stage.place.budget_bytes is not None
    return (
        f"{stage.stage} does not fit {stage.place.hardware.id}: {' + '.join(shown)} = "
        f"{size(stage.peak_bytes)}, of {size(stage.place.budget_bytes)}"
    )


def _change(suggestion: Suggestion) -> str:
    peak = f"{suggestion.stage} {size(suggestion.peak_bytes)}"
    return f"{changed(suggestion.change)} ({peak})"
