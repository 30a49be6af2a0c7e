"""A plan as text for a terminal, as Markdown for a pull request, and as facts for --json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leangen.generator.fit import Row, Suggestion
from leangen.generator.ledger import ITEMS, StagePlan
from leangen.generator.measured import Measured
from leangen.generator.plan import Plan
from leangen.spec.scalars import write_quantity

BAR = 32  # characters of a budget
UNITS = {
    "target.context": "context",
    "target.vram_budget": "bytes",
    "model.max_position_embeddings": "context",
}


def size(count: int) -> str:
    """Write bytes for people, in the largest unit of which there is one."""
    if count >= 2**30:
        return f"{count / 2**30:.2f} GiB"
    if count >= 2**20:
        return f"{count / 2**20:.1f} MiB"
    return f"{count / 2**10:.1f} KiB"


def duration(seconds: tuple[float, float]) -> str:
    """Write a range of seconds in one unit."""
    units = (
        (86400, "days"),
        (3600, "h"),
        (60, "min"),
        (1, "s"),
        (1e-3, "ms"),
        (1e-6, "us"),
    )
    unit, name = next((u for u in units if seconds[1] >= 2 * u[0]), units[-1])
    low, high = (value / unit for value in seconds)
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f} to {high:,.{digits}f} {name}"


def text(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> str:
    """Write a plan as tables: one a stage, with a bar for its budget."""
    lines = [_headline(planned)]
    for stage in planned.stages.values():
        lines += ["", *_stage_lines(stage, measured.get(stage.stage))]
    if found:
        lines += ["", "it would fit with", *map(_suggestion_line, found)]
    if planned.warnings:
        lines += ["", *(f"note: {warning}" for warning in planned.warnings)]
    return "\n".join(lines) + "\n"


def changed(change: Mapping[str, Any]) -> str:
    """Spell a change as a spec would."""
    return " and ".join(f"{path}: {_value(path, new)}" for path, new in change.items())


def _value(path: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if path in UNITS and isinstance(value, int):
        return write_quantity(UNITS[path], value)
    return str(value)


def _suggestion_line(found: Suggestion) -> str:
    saved = f"-{size(found.saved_bytes)}" if found.saved_bytes > 0 else ""
    peak = f"{found.stage} {size(found.peak_bytes)}"
    return f"  {changed(found.change):<44} {peak:<20} {saved}".rstrip()


def _headline(planned: Plan) -> str:
    parts = [f"{planned.name}: {planned.parameters:,} parameters"]
    if planned.active_parameters != planned.parameters:
        parts.append(f"{planned.active_parameters:,} of them active")
    parts.append(f"weights {size(planned.exported_bytes)} as stored")
    parts.append(f"KV cache {planned.kv_bytes_per_token:,} bytes a token")
    return ", ".join(parts)


def _stage_lines(stage: StagePlan, measured: Measured | None) -> Iterator[str]:
    where = f"{stage.stage} on {stage.hardware}"
    yield f"{where + _side(stage):<40} {_bar(stage)} {_against(stage)}"
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
            f"planned {_error(stage, measured)}{changed_since}"
        )
    if stage.seconds:
        each = " a token, behind a full context" if stage.stage == "serve" else ""
        yield f"  {'time':<15} {duration(stage.seconds)}{each}"
    for sentence in stage.decisions:
        yield f"  {'decided':<15} {sentence}"


def _side(stage: StagePlan) -> str:
    """Say that a stage runs beside a GPU, in memory that is not its own."""
    return " (host memory)" if stage.budget_bytes is None else ""


def _against(stage: StagePlan) -> str:
    if stage.budget_bytes is None:
        return size(stage.peak_bytes)
    verdict = "" if stage.fits else "  DOES NOT FIT"
    return f"{size(stage.peak_bytes)} of {size(stage.budget_bytes)}{verdict}"


def _bar(stage: StagePlan) -> str:
    if not stage.budget_bytes:
        return " " * (BAR + 2)
    filled = min(BAR, -(-BAR * stage.peak_bytes // stage.budget_bytes))
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


def _error(stage: StagePlan, measured: Measured) -> str:
    """Tell how far the plan is from what was measured."""
    return f"{stage.peak_bytes / measured.measured_bytes - 1:+.1%}"


def markdown(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> str:
    """Write a plan as Markdown: the stages, then what each holds."""
    stages = list(planned.stages.values())
    head = ["stage", "on", "peak", "budget", "fits", "time"]
    rows = [
        [
            stage.stage,
            stage.hardware + _side(stage),
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
            row += (
                [size(peak.measured_bytes), _error(stage, peak)] if peak else ["", ""]
            )
    parts = [f"### {_headline(planned)}", table_of(head, rows), _matrix(stages)]
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


def fit_table(planned: Plan, rows: Sequence[Row], as_markdown: bool) -> str:
    """Write what fits: patterns x bits x KV bits x the longest context."""
    stage = planned.stages["serve"]
    head = [
        "pattern",
        "weights",
        "KV cache",
        "at this context",
        "longest context",
        "tok/s",
    ]
    cells = [
        [
            ", ".join(row.patterns),
            f"{row.weights} bits",
            f"{row.kv_cache} bits",
            size(row.peak_bytes),
            write_quantity("context", row.context) if row.context else "none fits",
            _speed(row.seconds),
        ]
        for row in rows
    ]
    budget = "the host"
    if stage.budget_bytes is not None:
        budget = f"{size(stage.budget_bytes)}"
    title = f"{planned.name}: what fits {budget} of {stage.hardware}"
    title += f" ({stage.decisions[0].partition(',')[0]})"
    zeros = ("2:4", "unstructured")
    idle = [
        p
        for p in zeros
        if all((p in r.patterns) == ("dense" in r.patterns) for r in rows)
    ]
    note = (
        f"{' and '.join(idle)}: stored as if dense, there is no kernel that skips zeros"
    )
    notes = [note] if idle else []
    if as_markdown:
        return "\n\n".join([f"### {title}", table_of(head, cells), *notes]) + "\n"
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *cells)
    ]
    return "\n".join([title, "", *lines, *([""] if notes else []), *notes]) + "\n"


def facts(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> dict[str, Any]:
    """Describe a plan for --json; bytes are integers, times seconds from least to most."""
    return {
        "name": planned.name,
        "fits": planned.fits,
        "model": {
            "parameters": planned.parameters,
            "active_parameters": planned.active_parameters,
            "exported_bytes": planned.exported_bytes,
            "kv_bytes_per_token": planned.kv_bytes_per_token,
        },
        "stages": {
            name: _stage_facts(stage, measured.get(name))
            for name, stage in planned.stages.items()
        },
        "warnings": list(planned.warnings),
        "suggestions": [
            {
                "change": dict(suggestion.change),
                "stage": suggestion.stage,
                "peak_bytes": suggestion.peak_bytes,
                "saved_bytes": suggestion.saved_bytes,
            }
            for suggestion in found
        ],
    }


def _stage_facts(stage: StagePlan, measured: Measured | None) -> dict[str, Any]:
    described = {
        "fits": stage.fits,
        "peak_bytes": stage.peak_bytes,
        "budget_bytes": stage.budget_bytes,
        "seconds": list(stage.seconds) if stage.seconds else None,
        "device": stage.device,
        "hardware": stage.hardware,
        "moment": stage.moment,
        "decisions": list(stage.decisions),
        "ledger": [vars(item) for item in stage.ledger],
    }
    if measured:
        described["measured_bytes"] = measured.measured_bytes
        described["planned_bytes_when_measured"] = measured.planned_bytes
    return described


def _speed(seconds: tuple[float, float] | None) -> str:
    return f"{1 / seconds[1]:,.0f} to {1 / seconds[0]:,.0f}" if seconds else ""


def fit_facts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Describe the table of --fit for --json."""
    return [vars(row) for row in rows]
