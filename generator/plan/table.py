"""The table of all that fits: patterns x bits x KV bits x the longest context."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from leangen.generator.plan.hosting import engine_of, skips_zeros
from leangen.generator.plan.plan import Plan, serving
from leangen.generator.plan.suggest import first, shorter
from leangen.generator.report.markdown import table_of
from leangen.generator.report.terminal import size
from leangen.spec import Spec
from leangen.spec.text.scalars import write_quantity


@dataclass(frozen=True)
class Row:
    """A choice of pattern and bits: the longest context that fits, 0 where none does."""

    patterns: tuple[str, ...]
    weights: int
    kv_cache: int
    peak_bytes: int
    context: int
    seconds: tuple[float, float] | None


PATTERNS = {"dense": None, "2:4": None, "unstructured": 0.5}


def table(spec: Spec) -> list[Row]:
    """Tabulate patterns x bits x KV bits x the longest context that fits the target.

    Patterns that an engine stores alike share a row. `peak_bytes` is at the context of
    the spec, `seconds` a token's there.
    """
    engine = engine_of(spec)
    rows = []
    for weights in engine.weights:
        for bits in engine.kv_cache:
            quantization = replace(spec.quantization, weights=weights, kv_cache=bits)
            variants = {}
            for pattern, ratio in PATTERNS.items():
                sparsity = replace(spec.sparsity, pattern=pattern, ratio=ratio)
                variants[pattern] = replace(
                    spec, quantization=quantization, sparsity=sparsity
                )
            for skips in (False, True):
                alike = [p for p, v in variants.items() if skips_zeros(v) == skips]
                if alike:
                    rows.append(_row(variants[alike[0]], tuple(alike)))
    return rows


def _row(spec: Spec, patterns: tuple[str, ...]) -> Row:
    stage = serving(spec)
    bits = spec.quantization
    longest = _longest(spec)
    return Row(
        patterns, bits.weights, bits.kv_cache, stage.peak_bytes, longest, stage.seconds
    )


def _longest(spec: Spec) -> int:
    """Find the longest context that fits, 0 if none does."""
    most = spec.model.max_position_embeddings
    steps: list[int] = [most, *shorter(most), 0]

    def fits(place: int) -> bool:
        target = replace(spec.target, context=steps[place])
        return serving(replace(spec, target=target)).fits

    return steps[first(len(steps) - 1, fits)]


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


def _speed(seconds: tuple[float, float] | None) -> str:
    return f"{1 / seconds[1]:,.0f} to {1 / seconds[0]:,.0f}" if seconds else ""
