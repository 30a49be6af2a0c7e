"""All variants as a table, for the page, for programs and for spreadsheets."""

import csv
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

from leangen.generator.report.page.axis import figure, in_bytes, percent
from leangen.generator.report.page.figures import SURE, Row, Spread, Sweep

Write = Callable[[float], str]
COLUMNS: tuple[tuple[str, str, Write], ...] = (
    ("file_bytes", "file", in_bytes),
    ("memory_bytes", "memory", in_bytes),
    ("perplexity_test", "perplexity, test", figure),
    ("perplexity_out_of_sample", "out of sample", figure),
    ("perplexity_train", "training text", figure),
    ("perplexity_val", "validation text", figure),
    ("kl_divergence_test", "KL, nats", figure),
    ("same_top", "same top", percent),
    ("decode", "decode, tokens/s", figure),
    ("prefill", "prefill, tokens/s", figure),
    ("seconds", "took, s", figure),
)
MORE: tuple[tuple[str, str, Write], ...] = (
    ("loss_difference_test", "loss beside dense, nats", figure),
    ("windowed_perplexity", "half windows of 512", figure),
    ("first_token_seconds", "first token, s", figure),
)
NAMES = (
    "name",
    "slug",
    "state",
    "why",
    "pattern",
    "ratio",
    "method",
    "recovered",
    "bits",
    "runs",
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets would compute


def known(sweep: Sweep) -> list[tuple[str, str, Write]]:
    """List the columns for which a row has a figure."""
    return [
        column
        for column in COLUMNS
        if any(column[0] in row.figures for row in sweep.rows)
    ]


def written(spread: Spread, write: Write) -> str:
    """Write a figure, and its range where there is one."""
    if spread.low == spread.high:
        return write(spread.mean)
    return f"{write(spread.mean)} ({write(spread.low)} to {write(spread.high)})"


def details(row: Row) -> list[tuple[str, str]]:
    """List all figures of a row with their names; speeds behind each context, if known."""
    found, named = row.figures, [(key, words, write) for key, words, write in COLUMNS]
    for key in found:
        name, _, context = key.partition("_")
        if context.isdecimal():
            named = [each for each in named if each[0] != name]
            named.append((key, f"{name} behind {context}, tokens/s", figure))
    named += MORE
    lines = [
        (words, written(found[key], write) + _besides(row, key, write))
        for key, words, write in named
        if key in found
    ]
    return lines + ([("runs", str(row.runs))] if row.runs > 1 else [])


def _besides(row: Row, key: str, write: Write) -> str:
    """Write what belongs to a figure: what was planned, its margin, its tail."""
    planned, tail = row.value(f"planned_{key}"), row.value("kl_divergence_99_test")
    error = row.value("loss_difference_error_test")
    if planned is not None:
        return f", planned {write(planned)}"
    if key == "loss_difference_test" and error is not None:
        return f" ± {figure(SURE * error)}"
    if key == "kl_divergence_test" and tail is not None:
        return f", 99 % below {figure(tail)}"
    return ""


def facts(row: Row) -> dict[str, Any]:
    """Describe a row for programs; figures as low, mean and high."""
    found = {name: getattr(row, name) for name in NAMES} | {"baseline": row.baseline}
    return found | {
        "figures": {key: [s.low, s.mean, s.high] for key, s in row.figures.items()}
    }


def as_csv(sweep: Sweep) -> str:
    """Write all rows for a spreadsheet: means, in bytes, seconds and shares."""
    figures = list(dict.fromkeys(name for row in sweep.rows for name in row.figures))
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*NAMES, *figures])
    for row in sweep.rows:
        writer.writerow([*_cells(row), *(_cell(row.value(name)) for name in figures)])
    return file.getvalue()


def _cells(row: Row) -> Iterator[str]:
    for name in NAMES:
        value = getattr(row, name)
        shown = "" if value is None else str(value)
        yield (
            f"'{shown}"
            if isinstance(value, str) and shown.startswith(FORMULAS)
            else shown
        )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"
