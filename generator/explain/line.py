"""Which fields a line of a generated file hangs on, and the template that it comes from.

Nobody declares that, so it is found out: the folder is rendered with other values of every
field, as `leangen build` would, and what the line is then is looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from leangen.generator.disk import has_hashes
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
EDITED = "was edited by hand: see leangen diff"
OUTDATED = "is not what the spec says now: see leangen diff"


@dataclass(frozen=True)
class Effect:
    """What becomes of a line when a field has another value: another text, or None."""

    field: str
    changes: Changes
    becomes: str | None


@dataclass(frozen=True)
class Text:
    """A file as leangen writes it: lines, and where they come from where that is known."""

    lines: Sequence[str]
    origins: Sequence[Origin | None]


def explain_line(project: Project, place: Place, spec_file: Path) -> Answer:
    """Tell which template a line comes from, and which fields it hangs on."""
    _require_its(project, place, spec_file)
    name = place.file.name
    text = _text(project.spec, project.plan, project.files, name)
    state, line = _on_disk(project, place, text)
    if line is None:
        found = (
            f"{place.file}:{place.line}: leangen wrote no such line: the file {state}\n"
        )
        return Answer(found, exit_code=NO, document={"state": state, "fields": []})
    tried = _effects(project, spec_file, name, line)
    effects = [effect for effect in tried if effect.becomes != text.lines[line]]
    parts = [f"{place.file}:{place.line}\n  {text.lines[line].strip()}\n"]
    parts += [f"note: {place.file} {state}\n"] if state else []
    origin = text.origins[line]
    rule = _rule(project.plan, name, text.lines[line], origin)
    parts.append("".join(beside(label, said, LABEL) for label, said in rule.items()))
    parts.append(_told(effects, len(tried)))
    document = {
        "text": text.lines[line],
        "state": state,
        "rule": rule,
        "tried": len(tried),
        "fields": [vars(effect) for effect in effects],
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


def _text(spec: Spec, planned: Plan, files: Mapping[str, str], name: str) -> Text:
    """Take a file, and ask where its lines come from if it has a template."""
    found = templates_of(spec, planned).get(name)
    lines = lines_of(files[name])
    known = origins(*found, files[name]) if found else [None] * len(lines)
    return Text(lines, known)


def _on_disk(project: Project, place: Place, text: Text) -> tuple[str, int | None]:
    """Find which of leangen's lines, from 0, stands at a place of the disk; None: none.

    Says, too, how the file there differs, '' where it does not.
    """
    changes = [c for c in project.changes if c.file.name == place.file.name]
    old = changes[0].old if changes else None
    lines = text.lines if old is None else lines_of(old)
    if not 1 <= place.line <= len(lines):
        raise LeangenError.of(f"{place.file} has {len(lines)} lines", code="no-line")
    state = "" if old is None else EDITED if changes[0] in project.edited else OUTDATED
    return state, _counterpart(lines, text.lines, place.line - 1)


def _counterpart(lines: Sequence[str], others: Sequence[str], line: int) -> int | None:
    """Find the same line in another version of a file, as a diff would."""
    matcher = SequenceMatcher(None, lines, others, autojunk=False)
    for here, there, count in matcher.get_matching_blocks():
        if here <= line < here + count:
            return there + line - here
    return None


def _effects(project: Project, spec_file: Path, name: str, line: int) -> list[Effect]:
    """Render the file with other values of every field, those that can be built."""
    text = _text(project.spec, project.plan, project.files, name)
    found = []
    for field in names():
        for changes, varied in neighbours(project.spec, field):
            other = _other(varied, spec_file, project.folder, name)
            if other:
                found.append(Effect(field, changes, _becomes(text, line, other)))
    return found


def _other(varied: Spec, spec_file: Path, folder: Path, name: str) -> Text | None:
    """Build another spec, and take a file of it, empty where it has none; None: it is refused."""
    try:
        spec = as_scripts_look(varied, spec_file, folder.parent)
    except LeangenError:  # of a glob that no script would find
        return None
    planned = plan(spec)
    if not planned.fits or any(not_yet(spec)):
        return None
    files = build(spec, planned, has_hashes(folder))
    return _text(spec, planned, files, name) if name in files else Text((), ())


def _becomes(text: Text, line: int, other: Text) -> str | None:
    """Tell what a line is in another version of its file; None: it goes."""
    same = _counterpart(text.lines, other.lines, line)
    return _instead(text, line, other) if same is None else other.lines[same]


def _instead(text: Text, line: int, other: Text) -> str | None:
    """Find what stands in the place of a line: what the same line of a template became."""
    origin = text.origins[line]
    if (
        origin is None
    ):  # an import, or a file without a template: by what it begins with
        start = text.lines[line].partition(" import ")[0].partition(":")[0]
        found = [
            other_line for other_line in other.lines if other_line.startswith(start)
        ]
        return found[0] if start.strip() and len(found) == 1 else None
    pairs = zip(other.lines, other.origins, strict=True)
    found = [other_line for other_line, its in pairs if its == origin]
    return (
        found[0] if len(found) == 1 and list(text.origins).count(origin) == 1 else None
    )


def _rule(planned: Plan, name: str, text: str, origin: Origin | None) -> dict[str, str]:
    """Say how a line came to be, by what is asked."""
    if origin is None:
        return {"rule": _computed(name, text)}
    found = {"template": f"templates/{origin.template}:{origin.line}"}
    if "{{" in origin.text:
        found["hole"] = origin.text
    if origin.conditions:
        found["where"] = "; ".join(origin.conditions)
    stage = planned.stages.get(name.removesuffix(".py"))
    if stage and "plan." in " ".join([origin.text, *origin.conditions]):
        (row,) = [row for row in STAGES if row.name == stage.stage]
        said = [*stage.decisions, f"from {', '.join(row.costs)}"]
        found["plan"] = "; ".join(said)
    return found


def _computed(name: str, text: str) -> str:
    if not name.endswith(".py"):
        return "has no template: it follows from the whole spec"
    if text.startswith("#"):
        return "the packages that the script imports, and its modules (templates/requirements.txt)"
    return "imports are what the code below uses (templates/imports.py)"


def _told(effects: Sequence[Effect], tried: int) -> str:
    """Write what becomes of a line, a field after the other."""
    if not effects:
        return (
            f"stays with each of the {tried} other values of fields that were tried\n"
        )
    lines = ["with another value of a field the line becomes, or goes:\n\n"]
    alike: dict[tuple[str, str], list[str]] = {}
    for effect in effects:
        becomes = (effect.becomes or GOES).strip()[:WIDTH]
        alike.setdefault((effect.field, becomes), []).append(title(effect.changes))
    for (_, becomes), titles in alike.items():
        lines.append(f"  {'; '.join(titles)}\n      {becomes}\n")
    return "".join(lines)
