"""A review as text for a terminal, a fact a line."""

from collections.abc import Iterator

from leangen.generator.against.review import (
    Review,
    figures_between,
    in_words,
    model_figures,
    percent,
    stages_between,
)
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.report.changes import line, times, total
from leangen.generator.report.terminal import suggestion_lines
from leangen.generator.report.units import each_of, size
from leangen.spec.errors import printable, render


def text(found: Review) -> str:
    """Write a review: fields, figures, what would fit, stages, files."""
    return "".join(f"{told}\n" for told in _lines(found))


def title(found: Review) -> str:
    """Name what is compared."""
    told = found.comparison
    return f"{told.file} against {told.base} ({told.at.commit[:12]})"


def _lines(found: Review) -> Iterator[str]:
    if found.is_silent:
        yield f"{printable(title(found))}: nothing changed"
        return
    yield printable(title(found))
    told = found.comparison
    if told.note:
        yield f"note: {told.note}"
    for wrong in told.wrong:
        yield from render(wrong).splitlines()
    yield from _figures(found)
    if found.found:
        yield from ("", "it would fit with", *suggestion_lines(found.found), "")
    for words, names, reason in in_words(found.stages):
        yield f"{words:<12} {names}{f': {reason}' if reason else ''}"
    for edit in found.edits:
        lines = f"+{edit.added} -{edit.removed}"
        yield f"{lines:<12} {printable(str(edit.change.file))}"


def _figures(found: Review) -> Iterator[str]:
    """Tell what differs between the plans, or all of a plan that is new."""
    was, now = found.was, found.now
    if was and now:
        for change in (*found.comparison.fields, *figures_between(was, now)):
            yield line(*change)
        for name, before, after in stages_between(was, now):
            yield from _stage(name, before, after)
    elif now:
        for name, value in model_figures(now).items():
            yield f"{name:<26} {value}"
        yield from map(total, now.stages.values())


def _stage(
    name: str, before: StagePlan | None, after: StagePlan | None
) -> Iterator[str]:
    """Set a stage's peak and time beside what they were."""
    old, new = _peak(before), _peak(after)
    if (old, _against(before)) != (new, _against(after)):
        share = percent(before.peak_bytes, after.peak_bytes) if before and after else ""
        yield line(f"{name} peak", old, f"{new}{_against(after)} {share}".rstrip())
    spent = before.seconds if before else None, after.seconds if after else None
    if spent[0] != spent[1]:
        yield line(f"{name} time{each_of(name)}", *times(*spent))


def _peak(stage: StagePlan | None) -> str:
    return size(stage.peak_bytes) if stage else "none"


def _against(stage: StagePlan | None) -> str:
    """Set a budget beside a peak."""
    if stage is None or stage.place.budget_bytes is None:
        return ""
    over = "" if stage.fits else ", DOES NOT FIT,"
    return f" of {size(stage.place.budget_bytes)}{over}"
