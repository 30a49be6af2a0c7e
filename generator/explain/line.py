"""Which fields a line of a generated file hangs on, and the template that it comes from.

Nobody declares that, so it is found out: the folder is rendered with other values of every
field, as `leangen build` would, and what the line is then is looked at.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

from leangen.generator.disk import EDITED, EJECTED, has_hashes
from leangen.generator.explain.place import Place
from leangen.generator.explain.words import WIDTH, beside, title
from leangen.generator.paths import as_scripts_look
from leangen.generator.plan import Plan, plan
from leangen.generator.project import Project
from leangen.generator.render.build import build, templates_of
from leangen.generator.render.not_yet import not_yet
from leangen.generator.render.origins import Origin, lines_of, origins
from leangen.generator.report.answer import NO, Answer
from leangen.generator.stages import STAGES
from leangen.spec import LeangenError, Spec
from leangen.spec.explained import names
from leangen.spec.neighbours import Changes, neighbours

LABEL = 10  # columns
GOES = "goes"
STATES = {
    EDITED: "was edited by hand: see leangen diff",
    EJECTED: "is ejected, and its author's: see leangen diff",
}
OUTDATED = "is not what the spec says now: see leangen diff"


@dataclass(frozen=True)
class Effect:
    """What becomes of a line when a field has another value: another text, or None."""

    field: str
    changes: Changes
    becomes: str | None


@dataclass(frozen=True)
class Version:
    """A file as one spec makes it; without lines where that spec has no such file."""

    spec: Spec
    plan: Plan
    files: Mapping[str, str]
    name: str

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines, from 0."""
        return lines_of(self.files[self.name]) if self.name in self.files else []

    @cached_property
    def origins(self) -> Sequence[Origin | None]:
        """Where each line comes from; None: from no template."""
        found = templates_of(self.spec, self.plan).get(self.name)
        if not found:
            return [None] * len(self.lines)
        return origins(*found, self.files[self.name], self.spec.parts)


def explain_line(project: Project, place: Place, spec_file: Path) -> Answer:
    """Tell which template a line comes from, and which fields it hangs on."""
    _require_its(project, place, spec_file)
    name = place.file.name
    here = Version(project.spec, project.plan, project.files, name)
    state, line = _on_disk(project, place, here)
    if line is None:
        said = f"leangen wrote no such line: the file {state}"
        document: dict[str, Any] = {"state": state, "fields": []}
        return Answer(f"{place.file}:{place.line}: {said}\n", [], NO, (), document)
    tried = _effects(here, line, spec_file, project.folder)
    effects = [effect for effect in tried if effect.becomes != here.lines[line]]
    rule = _rule(here, line)
    parts = [
        f"{place.file}:{place.line}\n  {here.lines[line].strip()}\n",
        f"note: {place.file} {state}\n" if state else "",
        "".join(beside(label, said, LABEL) for label, said in rule.items()),
        _told(effects, len(tried)),
    ]
    document = {
        "text": here.lines[line],
        "state": state,
        "rule": rule,
        "tried": len(tried),
        "fields": list(map(vars, effects)),
    }
    return Answer("\n".join(filter(None, parts)), document=document)


def _require_its(project: Project, place: Place, spec_file: Path) -> None:
    """Raise LeangenError where a place is in no file of a project."""
    if place.folder.name != project.spec.name:
        raise LeangenError.of(
            f"{spec_file} is of {project.spec.name}, {place.file} of another spec",
            remedy="name the spec that the file was made from",
            code="which-spec",
        )
    if place.file.name not in project.files:
        raise LeangenError.of(
            f"leangen does not write {place.file}",
            remedy="leangen check lists what differs from the spec",
            code="not-generated",
        )


def _on_disk(project: Project, place: Place, here: Version) -> tuple[str, int | None]:
    """Find which of leangen's lines, from 0, stands at a place of the disk; None: none.

    Says, too, how the file there differs, '' where it does not.
    """
    differing = (*project.changes, *project.ejected)
    changes = [c for c in differing if c.file.name == place.file.name]
    old = changes[0].old if changes else None
    lines = here.lines if old is None else lines_of(old)
    if not 1 <= place.line <= len(lines):
        raise LeangenError.of(f"{place.file} has {len(lines)} lines", code="no-line")
    state = "" if old is None else STATES.get(changes[0].state, OUTDATED)
    return state, _counterpart(lines, here.lines, place.line - 1)


def _counterpart(lines: Sequence[str], others: Sequence[str], line: int) -> int | None:
    """Find the same line in another version of a file, as a diff would."""
    matcher = SequenceMatcher(None, lines, others, autojunk=False)
    for here, there, count in matcher.get_matching_blocks():
        if here <= line < here + count:
            return there + line - here
    return None


def _effects(here: Version, line: int, spec_file: Path, folder: Path) -> list[Effect]:
    """Build other values of every field, those that can be, and look at the line."""
    found = []
    for field in names():
        for changes, varied in neighbours(here.spec, field):
            other = _built(varied, spec_file, folder, here.name)
            if other:
                found.append(Effect(field, changes, _becomes(here, line, other)))
    return found


def _built(varied: Spec, spec_file: Path, folder: Path, name: str) -> Version | None:
    """Build another spec, None where `leangen build` would refuse it."""
    try:
        spec = as_scripts_look(varied, spec_file, folder.parent)
    except LeangenError:  # of a glob that no script would find
        return None
    planned = plan(spec)
    if not planned.fits or any(not_yet(spec)):
        return None
    files = build(spec, planned, has_hashes(folder))
    return Version(spec, planned, files, name)


def _becomes(here: Version, line: int, other: Version) -> str | None:
    """Tell what a line is in another version; None: it goes.

    Where a diff would not keep it, that is what the same line of the template became, or,
    of what has no template, the one line that begins like it: `from tensors import`.
    """
    if _counterpart(here.lines, other.lines, line) is not None:
        return here.lines[line]
    origin = here.origins[line]
    if origin:
        pairs = zip(other.lines, other.origins, strict=True)
        found = [text for text, its in pairs if its == origin]
        alone = here.origins.count(origin) == 1  # and no turn of a loop
    else:
        start = re.split(" import |:", here.lines[line])[0]
        found = [text for text in other.lines if start and text.startswith(start)]
        alone = True
    return found[0] if alone and len(found) == 1 else None


def _rule(here: Version, line: int) -> dict[str, str]:
    """Say how a line came to be, each part beside its label."""
    origin = here.origins[line]
    if origin is None:
        return {"rule": _computed(here.name, here.lines[line])}
    found = {"template": f"{origin.file}:{origin.line}"}
    if "{{" in origin.text:
        found["hole"] = origin.text
    if origin.conditions:
        found["where"] = "; ".join(origin.conditions)
    if "plan." in " ".join([origin.text, *origin.conditions]):
        found["plan"] = _decided(here)
    return found


def _decided(here: Version) -> str:
    """Say what the plan decided for a file, and from which fields."""
    rows = {row.name: row for row in STAGES}
    row = rows[here.name.removesuffix(".py")]
    (stage, *_) = (n for n in row.part_of or (row.name,) if n in here.plan.stages)
    decisions = "".join(f"{each}; " for each in here.plan.stages[stage].decisions)
    return f"{decisions}for {stage}, from {', '.join(rows[stage].costs)}"


def _computed(name: str, text: str) -> str:
    if not name.endswith(".py"):
        return "has no template: it follows from the whole spec"
    if text.startswith("#"):
        return "the packages that the script imports, and its modules (templates/requirements.txt)"
    return "imports are what the code below uses (templates/imports.py)"


def _told(effects: Sequence[Effect], tried: int) -> str:
    """Write what becomes of a line, a field after the other."""
    if not effects:
        return f"stays with each of {tried} other values of fields that were tried\n"
    lines = ["with another value of a field the line becomes, or goes:\n\n"]
    alike: dict[tuple[str, str], list[str]] = {}
    for effect in effects:
        becomes = (effect.becomes or GOES).strip()[:WIDTH]
        alike.setdefault((effect.field, becomes), []).append(title(effect.changes))
    for (_, becomes), titles in alike.items():
        lines.append(f"  {'; '.join(titles)}\n      {becomes}\n")
    return "".join(lines)
