"""What a branch changes, spec by spec, for its pull request: `leangen review`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leangen.generator import lock
from leangen.generator.against.changed import Changed, changed
from leangen.generator.against.compare import Comparison, compare
from leangen.generator.against.git import revision
from leangen.generator.against.markdown import MOST, markdown, weight
from leangen.generator.against.review import Review, facts, review
from leangen.generator.disk import MISSING, overwrite
from leangen.generator.project import Project, beside_disk
from leangen.generator.report.answer import NO, WRONG, Answer
from leangen.generator.report.changes import NAMED, edited, foreign, unbuilt
from leangen.generator.report.changes import facts as disk_facts
from leangen.generator.report.markdown import code, fence
from leangen.spec import Diagnostic, LeangenError
from leangen.spec.errors import render

LEFT = 200  # bytes for the sentence that says what is left out


@dataclass(frozen=True)
class _Seen:
    """A spec beside a revision and beside its folder, None where that cannot be; wrong: why."""

    file: Path
    found: Review | None
    project: Project | None
    wrong: Sequence[Diagnostic]

    @property
    def stale(self) -> list[Diagnostic]:
        """What `leangen check` finds."""
        on_disk = self.project
        if not on_disk:
            return []
        return [
            *foreign(on_disk),
            *on_disk.lost,
            *edited(on_disk),
            *unbuilt(on_disk),
        ]

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to tell."""
        return bool(self.found and self.found.is_silent) and not self.stale


def review_branch(
    specs: Iterable[Path], ref: str, out: Path, comment: Path | None
) -> Answer:
    """Check the specs that a branch touches, or those named, and tell what it changes.

    As Markdown, into a file where there is one for it; silent where nothing changed.
    """
    touched = Changed(list(dict.fromkeys(specs)), [])
    if not touched.specs:
        touched = changed(revision(ref, Path.cwd()), out)
    seen = [_look(file, ref, out) for file in touched.specs]
    told = [each for each in seen if not each.is_silent]
    orphans = [_orphan(folder) for folder in touched.orphans]
    room = MOST // max(1, len(told))
    pages = [_page(each, room) for each in told] + [
        f"### {code(each.file)}\n\n**{each.message}**\n" for each in orphans
    ]
    text = _joined(pages)
    if comment:
        overwrite(comment, text)
    wrong = list(dict.fromkeys(found for each in told for found in each.wrong))
    stale = [*(found for each in told for found in each.stale), *orphans]
    return Answer(
        "" if comment else text,
        [_facts(each) for each in seen],
        WRONG if wrong else NO if stale else 0,
        [*wrong, *stale],
    )


def _look(file: Path, ref: str, out: Path) -> _Seen:
    try:
        found = review(compare(file, ref, out))
        now = found.comparison.now
        if not now:
            return _Seen(file, found, None, ())
        if now.refusal:
            wrong = () if found.is_silent else now.refusal
            return _Seen(file, found, None, wrong)
        disk = beside_disk(now.spec, now.plan, folder=now.folder, files=now.files)
    except LeangenError as error:
        return _Seen(file, None, None, error.diagnostics)
    return _Seen(file, found, disk, ())


def _orphan(folder: Path) -> Diagnostic:
    message = "changed, and there is no spec of its name"
    return Diagnostic("no-spec", message, file=str(folder))


def _page(seen: _Seen, room: int) -> str:
    if seen.found:
        return markdown(seen.found, room, "\n".join(_notes(seen)))
    listed = "\n".join(map(render, seen.wrong))
    marks = fence(listed, least=3)
    head = f"### {code(str(seen.file))}\n\n**This cannot be built:**"
    return f"{head}\n\n{marks}text\n{listed}\n{marks}\n"


def _notes(seen: _Seen) -> Iterator[str]:
    """Say what is wrong with the files on the disk; names are code."""
    disk = seen.project
    if disk:
        old = [change.file for change in disk.changes if change not in disk.edited]
        build = code(f"leangen build {seen.file}")
        yield from _listed("not built", old, f"{build} brings them up to date")
        by_hand = [change.file for change in disk.edited]
        yield from _listed("edited by hand", by_hand, "change the spec instead")
        yield from _listed("not leangen's", disk.foreign, "scripts would import them")
        missing = [change.file for change in disk.ejected if change.state == MISSING]
        yield from _listed("ejected, and missing", missing, "restore them")
    left = seen.found and _left_behind(seen.found.comparison)
    if left:
        yield f"- **left behind:** {code(str(left))}, built from what the spec was"


def _left_behind(told: Comparison) -> Path | None:
    """Give the folder of a spec that is gone, or has another name, if it is still there."""
    was, now = told.was, told.now
    if not was or (now and now.folder == was.folder):
        return None
    return was.folder if (was.folder / lock.NAME).is_file() else None


def _listed(what: str, files: Sequence[Path], then: str) -> Iterator[str]:
    if files:
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        names = ", ".join(code(str(file)) for file in files[:NAMED])
        yield f"- **{what}:** {names}{more}: {then}"


def _joined(pages: Sequence[str]) -> str:
    """Put pages under each other, as many as a comment holds."""
    room, shown = MOST - LEFT, list[str]()
    for page in pages:
        room -= weight(page) + 1
        if room >= 0:
            shown.append(page)
    left = len(pages) - len(shown)
    if left:
        shown.append(f"**{left} more changed, and have no room here.**\n")
    return "\n".join(shown)


def _facts(seen: _Seen) -> dict[str, Any]:
    told: dict[str, Any] = {"file": str(seen.file)}
    if seen.found:
        told["against"] = facts(seen.found)
    return told | (disk_facts(seen.project) if seen.project else {})
