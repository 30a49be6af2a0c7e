"""A review as Markdown, for a comment on GitHub: nothing where nothing changed."""

from collections.abc import Iterator, Sequence

from leangen.generator import lock
from leangen.generator.against.review import (
    Review,
    figures_between,
    first_sentences,
    in_words,
    model_figures,
    percent,
    stages_between,
)
from leangen.generator.disk import Change
from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.render import plan_json
from leangen.generator.report.changes import NONE, times
from leangen.generator.report.markdown import (
    code,
    fence,
    remedies,
    stage_table,
    table_of,
)
from leangen.generator.report.units import changed, each_of, size
from leangen.generator.run.outcome import Ended

COMMENT = 65_536  # characters of a comment: counted in bytes, which are no fewer
ROOM = 1_024  # of them for whoever posts it
MOST = COMMENT - ROOM
CUT = "more lines of the patch.** `leangen diff --against` shows all."
STAGE = ["stage", "peak before", "after", "change", "budget", "fits"]
TIME = ["time before", "after"]
SAME = "The planned bytes and times of all stages are the same."


def markdown(found: Review, room: int = MOST, note: str = "") -> str:
    """Write a review: fields, figures, what would fit, stages, files.

    room: bytes that it is cut to fit in; note: what to say of the files on the disk.
    """
    if found.is_silent and not note:
        return ""
    parts = [part for part in _parts(found, note) if part]
    text = "\n\n".join(parts) + "\n"
    return text + _files(found, room - weight(text))


def _parts(found: Review, note: str) -> Iterator[str]:
    told = found.comparison
    names = code(str(told.file)), code(told.base)
    yield f"### {names[0]} against {names[1]} ({told.at.commit[:12]})"
    yield note
    yield told.note and f"**{told.note[0].upper()}{told.note[1:]}.**"
    yield _over(found)
    for wrong in told.wrong[:1]:
        yield code(": ".join(filter(None, (wrong.file, wrong.path, wrong.message))))
    yield _fields(told.fields)
    yield from _figures(found.was, found.now)
    yield remedies(found.found) if found.found else ""
    yield "\n".join(_again(found.stages))


def _over(found: Review) -> str:
    """Say which stages do not fit, and the smallest change with which all do."""
    over = (
        [s.stage for s in found.now.stages.values() if not s.fits] if found.now else []
    )
    if not over:
        return ""
    changes = (f"`{changed(suggestion.change)}`" for suggestion in found.found)
    smallest = next(changes, "none of one or two fields, as far as was tried")
    return (
        f"- **over the budget:** {', '.join(over)}\n"
        f"- **smallest change that fits:** {smallest}"
    )


def _fields(fields: Sequence[tuple[str, str, str]]) -> str:
    """Tabulate the fields that differ, and what each is."""
    if not fields:
        return ""
    about = first_sentences()
    rows = [
        [
            code(path),
            about.get(path, "").replace("<", "&lt;"),
            code(before),
            code(after),
        ]
        for path, before, after in fields
    ]
    return table_of(["field", "what it is", "before", "after"], rows, texts=2)


def _figures(was: Plan | None, now: Plan | None) -> Iterator[str]:
    """Tabulate what differs between the plans, or all of a plan that is new."""
    if was and now:
        figures = [list(row) for row in figures_between(was, now)]
        yield table_of(["", "before", "after"], figures) if figures else ""
        rows = [_stage(*pair) for pair in stages_between(was, now)]
        yield table_of(STAGE + TIME, rows) if rows else SAME
    elif now:
        yield table_of(["", ""], [list(row) for row in model_figures(now).items()])
        yield stage_table(list(now.stages.values()), {})


def _stage(name: str, before: StagePlan | None, after: StagePlan | None) -> list[str]:
    spent = before.seconds if before else None, after.seconds if after else None
    written = times(*spent)
    budget = after and after.place.budget_bytes
    return [
        name,
        size(before.peak_bytes) if before else "",
        size(after.peak_bytes) if after else "",
        percent(before.peak_bytes, after.peak_bytes) if before and after else "",
        size(budget) if budget else "",
        _fits(before, after),
        *("" if time == NONE else time + each_of(name) for time in written),
    ]


def _fits(before: StagePlan | None, after: StagePlan | None) -> str:
    """Say whether a stage fits, and whether it did where that is not the same."""
    if after is None:
        return ""
    now = "yes, tight" if after.tight else "yes" if after.fits else "**no**"
    if before is None or before.fits == after.fits:
        return now
    return f"{now}, it did{'' if before.fits else ' not'}"


def _again(stages: Sequence[Ended]) -> Iterator[str]:
    """List which stages run again and why; a reason that names a path is code."""
    for words, names, reason in in_words(stages):
        why = code(reason) if "/" in reason else reason
        yield f"- **{words}:** {names}{f': {why}' if why else ''}"


def _files(found: Review, room: int) -> str:
    """List the files that differ, folded, with the patches of those that were there.

    The tables above say what plan.json does, and the lock is hashes: their patches stay out.
    """
    if not found.edits:
        return ""
    added = sum(edit.added for edit in found.edits)
    removed = sum(edit.removed for edit in found.edits)
    summary = f"{len(found.edits)} files differ: {added} lines added, {removed} removed"
    rows = [
        [code(str(edit.change.file)), f"+{edit.added}", f"-{edit.removed}"]
        for edit in found.edits
    ]
    head = f"\n<details>\n<summary>{summary}</summary>\n\n"
    head += f"{table_of(['file', 'added', 'removed'], rows)}\n"
    end = "\n</details>\n"
    patch = "".join(edit.patch for edit in found.edits if _is_shown(edit.change))
    return head + _patch(patch, room - weight(head + end)) + end


def _is_shown(change: Change) -> bool:
    both = change.old is not None and change.new is not None
    return both and change.file.name not in (lock.NAME, plan_json.NAME)


def _patch(patch: str, room: int) -> str:
    """Fence a patch, cut to whole lines where it would not fit, and say that it is cut."""
    if not patch:
        return ""
    marks = fence(patch, least=3)
    room -= 2 * len(marks) + 200  # of the fence, and of the sentence below it
    kept, lines = [], patch.splitlines(True)
    for shown in lines:
        room -= weight(shown)
        if room < 0:
            break
        kept.append(shown)
    text = f"\n{marks}diff\n{''.join(kept)}{marks}\n"
    left = len(lines) - len(kept)
    return f"{text}\n**Cut here: {left:,} {CUT}\n" if left else text


def weight(text: str) -> int:
    """Count the bytes that a text is printed as, in UTF-8."""
    return len(text.encode(errors="backslashreplace"))
