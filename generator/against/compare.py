"""A spec as it was at a revision, and as it is: opened both, and what differs between them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from leangen.generator.against.base import find, find_renamed, open_base, place_of
from leangen.generator.against.git import Revision, revision
from leangen.generator.disk import (
    MISSING,
    OBSOLETE,
    OUTDATED,
    Change,
    ejected,
    has_hashes,
)
from leangen.generator.open import NOT_YET, Opened, open_spec
from leangen.generator.project import texts_of
from leangen.generator.render.plan_json import resolved
from leangen.generator.report.changes import fields_between
from leangen.generator.report.over_budget import OVER_BUDGET
from leangen.spec import Diagnostic, LeangenError
from leangen.spec.text.source import STDIN

NEW, DELETED, KEPT = "new", "deleted", "kept"
RENAMED, INVALID = "renamed", "invalid"
STATES = {
    NEW: "a new spec: there was none in its place, or of its name",
    DELETED: "a deleted spec: nothing says any more what was built from it",
    INVALID: "the spec was not valid there: all of it is new",
}
REFUSED = {
    OVER_BUDGET: "it does not fit, and cannot be built",
    NOT_YET: "it can be planned, and not be built yet",
}


@dataclass(frozen=True)
class Comparison:
    """A spec at a revision and now, None where there is none that is valid.

    state: new, deleted, renamed (the file, or the model), invalid (as it was), or kept.
    before: where its file was; wrong: why it was not valid.
    fields: path, and how each reads before and after. changes: of the generated files.
    """

    file: Path
    at: Revision
    state: str
    was: Opened | None
    now: Opened | None
    before: Path
    wrong: tuple[Diagnostic, ...]
    fields: tuple[tuple[str, str, str], ...]
    changes: tuple[Change, ...]

    @property
    def note(self) -> str:
        """Say in our own words what is not compared, and why, '' if all is."""
        return "; ".join(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.state in STATES:
            yield STATES[self.state]
        if self.now and self.now.refusal:
            why = REFUSED[self.now.refusal[0].code]
            yield f"{why}: no files are compared, and no stage can run"
        elif self.now and self.was and self.was.refusal:
            yield f"{REFUSED[self.was.refusal[0].code]} there: all files are new"

    @property
    def base(self) -> str:
        """Name what it is compared with: the revision, and another file where it was one."""
        if self.state != RENAMED:
            return self.at.name
        return f"{self.at.name}:{os.path.relpath(self.before, self.at.root)}"


def compare(file: Path, ref: str, out: Path) -> Comparison:
    """Open a spec as it is and as it was; raises LeangenError, as for one that is neither."""
    if file == STDIN:
        raise LeangenError.of(
            "standard input has no other revision",
            remedy="name the spec's file",
            code="stdin",
        )
    place = place_of(file)
    at = revision(ref, next(up for up in place.parents if up.is_dir()))
    entry = find(at, place)
    deleted = entry is not None and not os.path.lexists(place)
    now = None if deleted else _as_it_lies(open_spec(file, out))
    found = (place, entry) if entry else None
    if now and not found:
        found = find_renamed(at, now.spec.name)
    was, wrong = None, tuple[Diagnostic, ...]()
    if found:
        hashes = has_hashes(now.folder) if now else False
        try:
            was = open_base(at, *found, out=out, hashes=hashes)
        except LeangenError as error:
            wrong = error.diagnostics
    if deleted and not was:
        raise LeangenError(wrong)
    moved = found is not None and found[0] != place
    return Comparison(
        file=file,
        at=at,
        state=INVALID if wrong else _state(was, now, moved),
        was=was,
        now=now,
        before=found[0] if found else place,
        wrong=wrong,
        fields=_fields(was, now),
        changes=_changes(was, now),
    )


def _as_it_lies(opened: Opened) -> Opened:
    """Take the files that are ejected as their author has them."""
    if opened.refusal:
        return opened
    own = texts_of(ejected(opened.folder, opened.spec.ejected, opened.files))
    return replace(opened, files={**opened.files, **own})


def _state(was: Opened | None, now: Opened | None, moved: bool) -> str:
    if not was or not now:
        return DELETED if was else NEW
    return RENAMED if moved or was.spec.name != now.spec.name else KEPT


def _fields(was: Opened | None, now: Opened | None) -> tuple[tuple[str, str, str], ...]:
    if not was or not now:
        return ()
    return tuple(fields_between(resolved(was.spec), resolved(now.spec)))


def _changes(was: Opened | None, now: Opened | None) -> tuple[Change, ...]:
    """Compare what was rendered, by name; none where nothing can be built now."""
    opened = now or was
    if not opened or (now and now.refusal):
        return ()
    old, new = _files(was), _files(now)
    names = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    return tuple(
        Change(
            file=opened.folder / name,
            state=_change(name in old, name in new),
            old=old.get(name),
            new=new.get(name),
        )
        for name in names
    )


def _change(before: bool, after: bool) -> str:
    if not before:
        return MISSING
    return OUTDATED if after else OBSOLETE


def _files(opened: Opened | None) -> Mapping[str, str]:
    return opened.files if opened else {}
