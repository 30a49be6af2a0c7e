"""A sweep in words: what it would do, a line a variant while it runs, what came of it."""

from collections.abc import Iterator
from typing import Any

from leangen.generator.plan.rates import Seconds
from leangen.generator.report.units import duration, size
from leangen.generator.sweep.course import DONE, FAILED, Course
from leangen.generator.sweep.forecast import NONE, sharers, todo, total
from leangen.generator.sweep.results import REFUSED, Outcome

Rows = list[tuple[str, ...]]


def foreseen(outcome: Outcome) -> str:
    """Tell what a sweep would run: each variant, what it takes, what it shares."""
    found = todo(outcome.courses)
    names = {each.slug: each.name for each in outcome.variants}
    rows: Rows = [("variant", "file", "memory", "time", "shared")]
    for course, shared in sharers(outcome.courses):
        plan = course.batch.project.plan
        own = [task.planned for task in found if task.course is course]
        rows.append(
            (
                course.variant.name,
                size(plan.exported_bytes),
                size(plan.stages["serve"].peak_bytes),
                _time(total(own)),
                "; ".join(_together(shared, names)),
            )
        )
    lines = [headline(outcome), *_table(rows), *_refused(outcome)]
    lines.append(f"all of it: {_time(total([task.planned for task in found]))}")
    untold = dict.fromkeys(task.stage for task in found if task.planned == NONE)
    if untold:
        lines[-1] += f", besides {', '.join(untold)}, of which no plan tells the time"
    return "\n".join(lines) + "\n"


def _together(shared: dict[str, str], names: dict[str, str]) -> Iterator[str]:
    """Name the variants that stages are shared with, each once."""
    for slug in dict.fromkeys(shared.values()):
        stages = [stage for stage, other in shared.items() if other == slug]
        yield f"{', '.join(stages)} with {names[slug]}"


def headline(outcome: Outcome) -> str:
    """Count the variants, and their stages."""
    every = sum(len(course.batch.jobs) for course in outcome.courses)
    refused = len(outcome.variants) - len(outcome.courses)
    count = len(outcome.courses)
    parts = [f"{count} variant{'s' if count != 1 else ''}"]
    if refused:
        parts.append(f"{refused} more refused")
    parts.append(f"{len(todo(outcome.courses))} stages to run of {every}")
    return f"{outcome.base.name}: {', '.join(parts)}"


def progress(outcome: Outcome, course: Course, seconds: float) -> str:
    """Tell what came of a variant, and how long the others take."""
    ended = sum(each.state in (DONE, FAILED) for each in outcome.courses)
    count = f"{ended} of {len(outcome.courses)}"
    what = course.state if not course.why else f"failed: {course.why}"
    left = f", about {_about(seconds)} left" if ended < len(outcome.courses) else ""
    return f"{outcome.base.name}: {course.variant.name}: {what} ({count}{left})"


def results(outcome: Outcome, document: dict[str, Any]) -> str:
    """Set what was measured of the variants side by side."""
    rows: Rows = [("variant", "file", "memory", "test perplexity", "decode tok/s", "")]
    for each in document["variants"]:
        found = each.get("measured")
        if found:
            speed = found.get("decode_tokens_per_second")
            memory = found.get("memory_bytes")
            row = (
                size(found["file_bytes"]),
                size(memory) if memory else "-",
                f"{found['perplexity']['test']:.3f}",
                f"{speed:,.0f}" if speed else "-",
                "",
            )
            rows.append((each["name"], *row))
        elif each["state"] != REFUSED:
            rows.append((each["name"], "-", "-", "-", "-", each["state"]))
    failed = [f"failed: {c.variant.name}: {c.why}" for c in outcome.courses if c.why]
    return "\n".join([*_table(rows), *failed, *_refused(outcome)]) + "\n"


def _refused(outcome: Outcome) -> Iterator[str]:
    for each in outcome.variants:
        if each.project is None:
            yield f"refused: {each.name}: {each.why}"


def _table(rows: Rows) -> Iterator[str]:
    """Set cells below each other; those between the first and the last are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells, last in rows:
        right = (
            f"{cell:>{width}}" for cell, width in zip(cells, widths[1:-1], strict=True)
        )
        yield "  ".join([f"{first:<{widths[0]}}", *right, last]).rstrip()


def _time(seconds: Seconds) -> str:
    return duration(seconds) if seconds[1] else "-"


def _about(seconds: float) -> str:
    """Write a time that is not known well."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
