"""Paths in a spec start at its file; those in a script, beside the output folder."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Any

from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at
from leangen.spec.spec import Model

FIELDS = (
    "path",
    "calibration",
    "test",
    "out_of_sample",
)  # of data: what scripts look for


def as_scripts_look(spec: Spec, file: Path, out: Path) -> Spec:
    """Let the globs of a spec start at the folder that holds the output folder.

    Scripts find it from their own place, so that they are the same bytes on every machine.
    Raises LeangenError for a glob that would take names of this machine along.
    """
    way = _way(file.parent.resolve(), out.resolve().parent)
    wrong = list(_outside(spec, way, file, out))
    if wrong:
        raise LeangenError(wrong)
    moved: dict[str, Any] = {
        field: tuple(_moved(glob, way) for glob in getattr(spec.data, field))
        for field in FIELDS
    }
    return replace(spec, data=replace(spec.data, **moved), model=_model(spec, way))


def _model(spec: Spec, way: list[str]) -> Model:
    """Let the checkpoint's folder start there, too."""
    model = spec.model
    if model.checkpoint is None:
        return model
    steps, rest = _start(model.checkpoint, way)
    return replace(model, checkpoint="/".join([*steps, rest]))


def _way(home: Path, project: Path) -> list[str]:
    """List the steps from one folder to another."""
    return [
        step for step in os.path.relpath(home, project).split(os.sep) if step != "."
    ]


def _outside(spec: Spec, way: list[str], file: Path, out: Path) -> Iterator[Diagnostic]:
    """Report the globs that go up, and then down by names that are not the spec's."""
    for field in FIELDS:
        for number, glob in enumerate(getattr(spec.data, field)):
            steps, _ = _start(glob, way)
            if steps[:1] == [".."] and steps[-1] != "..":
                yield diagnostic_at(
                    spec,
                    f"data.{field}[{number}]",
                    "path",
                    "starts at the spec, which the scripts cannot find: it is not in "
                    f"{out.resolve().parent}",
                    f"choose an --out beside the spec, such as "
                    f"{file.parent / 'generated'}, or write the whole path",
                )


def _moved(glob: str, way: list[str]) -> str:
    """Let a glob that starts at the end of a way start where the way does."""
    steps, rest = _start(glob, way)
    return "/".join([*map(escape, steps), rest])


def _start(glob: str, way: list[str]) -> tuple[list[str], str]:
    """Give the steps of a way to where a glob starts, and the rest of the glob."""
    if not way or glob.startswith("/"):
        return [], glob
    steps, rest = list(way), glob
    while rest.startswith(("./", "../")):
        step, _, rest = rest.partition("/")
        if step == ".." and steps and steps[-1] != "..":
            steps.pop()
        elif step == "..":
            steps.append("..")
    return steps, rest


def find_texts(project: Path, globs: Iterable[str]) -> list[Path]:
    """List the files that globs name, as data.py does: links to folders are not followed."""
    found = {file for glob in globs for file in matches(project, glob)}
    return sorted(found)


def matches(project: Path, glob: str) -> list[Path]:
    """List the files that one glob names, hidden ones left out."""
    start = Path("/") if glob.startswith("/") else project
    files_too = f"{glob}/*" if glob.endswith("**") else glob
    try:
        paths = list(start.glob(files_too.strip("/")))
    except (NotImplementedError, ValueError):  # such as a**
        return []
    return [path for path in paths if _is_text(path, start)]


def _is_text(file: Path, start: Path) -> bool:
    names = file.relative_to(start).parts
    hidden = any(name.startswith(".") and name != ".." for name in names)
    return not hidden and file.is_file()
