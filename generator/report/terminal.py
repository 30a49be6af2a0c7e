"""A plan as text for a terminal: a table a stage, with a bar for its budget."""

from collections.abc import Iterator, Mapping, Sequence

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.suggest import Suggestion
from leangen.generator.report.measured import Measured
from leangen.generator.report.units import changed, deviation, duration, size

BAR = 32  # characters of a budget
CHANGE = 44  # of a change that would make it fit, at least


def text(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> str:
    """Write a plan as tables: one a stage, with a bar for its budget."""
    lines = [headline(planned)]
    for stage in planned.stages.values():
        lines += ["", *_stage_lines(stage, measured.get(stage.stage))]
    if found:
        lines += ["", "it would fit with", *suggestion_lines(found)]
    if planned.warnings:
        lines += ["", *(f"note: {warning}" for warning in planned.warnings)]
    return "\n".join(lines) + "\n"


def suggestion_lines(found: Sequence[Suggestion]) -> Iterator[str]:
    changes = [changed(suggestion.change) for suggestion in found]
    width = max(CHANGE, *map(len, changes))
    for change, suggestion in zip(changes, found, strict=True):
        saved = suggestion.saved_bytes
        peak = f"{suggestion.stage} {size(suggestion.peak_bytes)}"
        less = f"-{size(saved)}" if saved > 0 else ""
        yield f"  {change:<{width}} {peak:<20} {less}".rstrip()


def headline(planned: Plan) -> str:
    parts = [f"{planned.name}: {planned.parameters:,} parameters"]
    if planned.active_parameters != planned.parameters:
        parts.append(f"{planned.active_parameters:,} of them active")
    parts.append(f"weights {size(planned.exported_bytes)} as stored")
    parts.append(f"KV cache {planned.kv_bytes_per_token:,} bytes a token")
    return ", ".join(parts)


def _stage_lines(stage: StagePlan, measured: Measured | None) -> Iterator[str]:
    where = f"{stage.stage} on {stage.place.hardware.id}"
    yield f"{where + side(stage):<40} {_bar(stage)} {_against(stage)}"
    for item in stage.ledger:
        yield f"  {item.item:<15} {size(item.bytes):>12}   {item.formula}"
    yield f"  {'= peak':<15} {size(stage.peak_bytes):>12}   {stage.moment}".rstrip()
    if measured:
        then = measured.planned_bytes
        changed_since = (
            "" if then == stage.peak_bytes else f", {size(then)} when it ran"
        )
        yield (
            f"  {'measured':<15} {size(measured.measured_bytes):>12}   "
            f"planned {deviation(stage.peak_bytes, measured.measured_bytes)}{changed_since}"
        )
    if stage.seconds:
        each = " a token, behind a full context" if stage.stage == "serve" else ""
        yield f"  {'time':<15} {duration(stage.seconds)}{each}"
    for sentence in stage.decisions:
        yield f"  {'decided':<15} {sentence}"


def side(stage: StagePlan) -> str:
    """Say that a stage runs beside a GPU, in memory that is not its own."""
    return " (host memory)" if stage.place.budget_bytes is None else ""


def _against(stage: StagePlan) -> str:
    if stage.place.budget_bytes is None:
        return size(stage.peak_bytes)
    verdict = "  tight" if stage.tight else "" if stage.fits else "  DOES NOT FIT"
    return f"{size(stage.peak_bytes)} of {size(stage.place.budget_bytes)}{verdict}"


def _bar(stage: StagePlan) -> str:
    if not stage.place.budget_bytes:
        return " " * (BAR + 2)
    filled = min(BAR, -(-BAR * stage.peak_bytes // stage.place.budget_bytes))
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"
