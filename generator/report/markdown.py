"""A plan as Markdown, for a pull request."""

from collections.abc import Mapping, Sequence

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import ITEMS, StagePlan
from leangen.generator.plan.suggest import Suggestion
from leangen.generator.report.measured import Measured
from leangen.generator.report.terminal import (
    changed,
    duration,
    error,
    headline,
    side,
    size,
)


def markdown(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> str:
    """Write a plan as Markdown: the stages, then what each holds."""
    stages = list(planned.stages.values())
    head = ["stage", "on", "peak", "budget", "fits", "time"]
    rows = [
        [
            stage.stage,
            stage.hardware + side(stage),
            size(stage.peak_bytes),
            "" if stage.budget_bytes is None else size(stage.budget_bytes),
            "yes" if stage.fits else "**no**",
            duration(stage.seconds) if stage.seconds else "",
        ]
        for stage in stages
    ]
    if measured:
        head += ["measured", "error"]
        for row, stage in zip(rows, stages, strict=True):
            peak = measured.get(stage.stage)
            row += [size(peak.measured_bytes), error(stage, peak)] if peak else ["", ""]
    parts = [f"### {headline(planned)}", table_of(head, rows), _matrix(stages)]
    if found:
        rows = [
            [
                f"`{changed(s.change)}`",
                s.stage,
                size(s.peak_bytes),
                size(max(0, s.saved_bytes)),
            ]
            for s in found
        ]
        parts.append(table_of(["it would fit with", "stage", "peak", "saved"], rows))
    parts += [f"- {warning}" for warning in planned.warnings]
    return "\n\n".join(parts) + "\n"


def _matrix(stages: Sequence[StagePlan]) -> str:
    """Tabulate items by stage."""
    held = {s.stage: {i.item: size(i.bytes) for i in s.ledger} for s in stages}
    items = [item for item in ITEMS if any(item in found for found in held.values())]
    rows = [[item, *(held[s.stage].get(item, "") for s in stages)] for item in items]
    rows.append(["**peak**", *(f"**{size(s.peak_bytes)}**" for s in stages)])
    return table_of(["", *(s.stage for s in stages)], rows)


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown, its numbers to the right."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
