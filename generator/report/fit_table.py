"""What fits, as a table: patterns x bits x KV bits x the longest context."""

from collections.abc import Sequence

from leangen.generator.plan import Plan
from leangen.generator.plan.table import Row
from leangen.generator.report.markdown import table_of
from leangen.generator.report.units import size, speed
from leangen.spec.text.scalars import write_quantity

HEAD = [
    "pattern",
    "weights",
    "KV cache",
    "at this context",
    "longest context",
    "tok/s",
]


def fit_table(planned: Plan, rows: Sequence[Row], as_markdown: bool) -> str:
    """Write what fits, for a terminal or for a pull request."""
    title, cells, note = _title(planned), list(map(_cells, rows)), _note(rows)
    if as_markdown:
        parts = [f"### {title}", table_of(HEAD, cells), *note]
        return "\n\n".join(parts) + "\n"
    parts = [title, "\n".join(_aligned([HEAD, *cells])), *note]
    return "\n\n".join(parts) + "\n"


def _title(planned: Plan) -> str:
    stage = planned.stages["serve"]
    budget = stage.place.budget_bytes
    room = "the host" if budget is None else size(budget)
    where = f"{room} of {stage.place.hardware.id}"
    return f"{planned.name}: what fits {where} ({planned.engine})"


def _cells(row: Row) -> list[str]:
    return [
        ", ".join(row.patterns),
        f"{row.weights} bits",
        f"{row.kv_cache} bits",
        size(row.peak_bytes),
        write_quantity("context", row.context) if row.context else "none fits",
        speed(row.seconds) if row.seconds else "",
    ]


def _note(rows: Sequence[Row]) -> list[str]:
    """Name the sparse patterns that every row stores as it does a dense model."""
    named = dict.fromkeys(pattern for row in rows for pattern in row.patterns)
    idle = [p for p in named if p != "dense" and _as_if_dense(p, rows)]
    if not idle:
        return []
    what = "stored as if dense, there is no kernel that skips zeros"
    return [f"{' and '.join(idle)}: {what}"]


def _as_if_dense(pattern: str, rows: Sequence[Row]) -> bool:
    return all("dense" in row.patterns for row in rows if pattern in row.patterns)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Set columns side by side: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        ).rstrip()
        for first, *others in rows
    ]
