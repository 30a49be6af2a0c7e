"""leangen eject: a file of the folder becomes the author's, by a line in the spec."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from leangen.generator import lock
from leangen.generator.disk import EJECTED, MISSING, OUTDATED, Change, ejected, write
from leangen.generator.folder import alone
from leangen.generator.project import Project, texts_of
from leangen.generator.report.answer import REFUSED, Answer
from leangen.generator.stages import STAGES
from leangen.spec import Diagnostic, LeangenError, loads
from leangen.spec.check.wording import near
from leangen.spec.text.document import Node, shorten


def eject(project: Project, page: Path, files: Iterable[str], out: Path) -> Answer:
    """Name files in the spec as its author's, and take them out of the lock: both or nothing.

    A page whose text cannot be changed so that it says that, and nothing else besides,
    stays as it is: the answer has the line to write. Raises LeangenError for what is no
    file of the folder, or is ejected already.
    """
    new = _named(project, files)
    with alone(project.folder):
        change = _edited(project, page, new, out)
        if change.new is None:
            line = f"ejected: [{', '.join((*project.spec.ejected, *new))}]\n"
            remedy = "write the line above by hand, then leangen build"
            message = "cannot be changed safely"
            found = Diagnostic("page", message, file=str(page), suggestion=remedy)
            return Answer(line, exit_code=REFUSED, diagnostics=[found])
        mode = change.file.stat().st_mode
        write([change, *_unlocked(project, new)])
        change.file.chmod(mode)
    told = [f"{project.folder / name}: ejected, yours from now on\n" for name in new]
    facts = [{"file": str(project.folder / name), "state": EJECTED} for name in new]
    return Answer("".join([f"wrote {page}\n", *told]), facts)


def _named(project: Project, files: Iterable[str]) -> list[str]:
    """Find scripts and modules by their names, with or without .py."""
    scripts = [stage.script for stage in STAGES]
    there = [*texts_of(ejected(project.folder, scripts, {}))]
    wrong, names = [], list[str]()
    for file in dict.fromkeys(files):
        name = file if file.endswith(".py") else f"{file}.py"
        if name in project.spec.ejected:
            wrong.append(Diagnostic("ejected", f"{name} is ejected already"))
        elif name in there:
            names.append(name)
        else:
            message = f"{shorten(file)} is no script or module in {project.folder}"
            wrong.append(
                Diagnostic("file", message, suggestion=_meant(project, name, there))
            )
    if wrong:
        raise LeangenError(wrong)
    return list(dict.fromkeys(names))


def _meant(project: Project, name: str, there: Sequence[str]) -> str:
    """Say what to do about a file that is not there."""
    if name in project.files:
        return "write it first: leangen build"
    close = near(name, there)
    return f"did you mean {close[0]}?" if close else "name one, such as prune.py"


def _edited(project: Project, page: Path, new: Sequence[str], out: Path) -> Change:
    """Give the page with the names in it; one that cannot have them has no new text."""
    file = Path(os.path.realpath(page))
    if not file.is_file():  # a pipe, or standard input
        return Change(page, MISSING, None, None)
    old = file.read_bytes().decode("utf-8")
    wanted = {**project.spec.written, "ejected": [*project.spec.ejected, *new]}
    assert project.spec.document, "what is loaded knows its places"
    listed = project.spec.document.find(("ejected",))
    for text in _candidates(old, listed, new):
        try:
            said = loads(text, str(page), out).written
        except LeangenError:
            continue
        if said == wanted:
            return Change(file, OUTDATED, old, text)
    return Change(file, OUTDATED, old, None)


def _candidates(text: str, listed: Node | None, new: Sequence[str]) -> Iterator[str]:
    """Add names to a page in the ways that a list can be written; some are no YAML."""
    end = "\r\n" if "\r\n" in text else "\n"
    names = ", ".join(new)
    if listed is None:
        last = "" if text.endswith(end) else end
        yield f"{text}{last}ejected: [{names}]{end}"
        return
    alone = not listed.children  # without [ ]
    place = listed.place if alone else list(listed.children.values())[-1].place
    lines = text.splitlines(keepends=True)
    before, line = lines[: place.line - 1], lines[place.line - 1]
    start, after = place.column - 1, lines[place.line :]
    stop = start + place.width
    opened, closed = ("[", "]") if alone else ("", "")
    inside = f"{opened}{line[start:stop]}, {names}{closed}"
    yield "".join([*before, line[:start], inside, line[stop:], *after])
    whole = line if line.endswith(end) else f"{line}{end}"
    items = (f"{line[:start]}{name}{end}" for name in new)
    yield "".join([*before, whole, *items, *after])


def _unlocked(project: Project, names: Sequence[str]) -> Iterator[Change]:
    """Give the lock without some files, where it has any of them."""
    file = project.folder / lock.NAME
    if file.is_file():
        old = file.read_bytes().decode("utf-8", errors="surrogateescape")
        yield Change(file, OUTDATED, old, lock.without(old, names))
