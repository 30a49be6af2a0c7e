"""A plan as Markdown, for a pull request."""

import re
from collections.abc import Mapping, Sequence

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import ITEMS, StagePlan
from leangen.generator.plan.suggest import Suggestion
from leangen.generator.report.measured import Measured
from leangen.generator.report.terminal import headline, side
from leangen.generator.report.units import changed, deviation, duration, each_of, size
from leangen.spec.errors import printable

LONGEST = 120  # characters of somebody's text


def markdown(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> str:
    """Write a plan as Markdown: the stages, then what each holds."""
    stages = list(planned.stages.values())
    parts = [f"### {headline(planned)}", stage_table(stages, measured), _matrix(stages)]
    if found:
        parts.append(remedies(found))
    parts += [f"- {warning}" for warning in planned.warnings]
    return "\n\n".join(parts) + "\n"


def stage_table(stages: Sequence[StagePlan], measured: Mapping[str, Measured]) -> str:
    """Tabulate the stages, and what was measured of them where something was."""
    head = ["stage", "on", "peak", "budget", "fits", "time"]
    rows = list(map(_stage, stages))
    if measured:
        head += ["measured", "error"]
        for row, stage in zip(rows, stages, strict=True):
            row += _measured(stage, measured.get(stage.stage))
    return table_of(head, rows)


def _stage(stage: StagePlan) -> list[str]:
    budget = stage.place.budget_bytes
    return [
        stage.stage,
        stage.place.hardware.id + side(stage),
        size(stage.peak_bytes),
        "" if budget is None else size(budget),
        "yes, tight" if stage.tight else "yes" if stage.fits else "**no**",
        duration(stage.seconds) + each_of(stage.stage) if stage.seconds else "",
    ]


def _measured(stage: StagePlan, peak: Measured | None) -> list[str]:
    if peak is None:
        return ["", ""]
    found = peak.measured_bytes
    return [size(found), deviation(stage.peak_bytes, found)]


def remedies(found: Sequence[Suggestion]) -> str:
    """Tabulate what would make a spec fit."""
    head = ["it would fit with", "stage", "peak", "saved"]
    return table_of(head, list(map(_suggestion, found)))


def _suggestion(found: Suggestion) -> list[str]:
    saved = size(found.saved_bytes) if found.saved_bytes > 0 else ""
    return [f"`{changed(found.change)}`", found.stage, size(found.peak_bytes), saved]


def _matrix(stages: Sequence[StagePlan]) -> str:
    """Tabulate items by stage."""
    held = {s.stage: {i.item: size(i.bytes) for i in s.ledger} for s in stages}
    items = [item for item in ITEMS if any(item in found for found in held.values())]
    rows = [[item, *(held[s.stage].get(item, "") for s in stages)] for item in items]
    rows.append(["**peak**", *(f"**{size(s.peak_bytes)}**" for s in stages)])
    return table_of(["", *(s.stage for s in stages)], rows)


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Write a table in Markdown: columns of texts, then of numbers, to the right."""
    line = "|" + "---|" * texts + "---:|" * (len(head) - texts)
    lines = [f"| {' | '.join(head)} |", line]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def code(text: str) -> str:
    """Set somebody's text as code: nothing in it is Markdown, HTML or a mention."""
    shown = printable(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
    marks = fence(shown, least=1)
    return f"{marks} {shown} {marks}" if "`" in shown else f"{marks}{shown}{marks}"


def fence(text: str, least: int) -> str:
    """Give as many backticks as it takes to enclose a text that has some itself."""
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])
