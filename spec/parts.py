"""A folder of the author's own templates, each in place of leangen's of the same path."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from leangen.spec.check.wording import near
from leangen.spec.errors import MOST, Diagnostic, LeangenError
from leangen.spec.spec import Parts
from leangen.spec.text.source import MAX_BYTES, decode

TEMPLATES = Path(__file__).parents[1] / "templates"
ENDING = ".j2"


@cache
def known() -> tuple[str, ...]:
    """Name all templates, by their paths below templates/."""
    files = TEMPLATES.rglob(f"*{ENDING}")
    return tuple(sorted(file.relative_to(TEMPLATES).as_posix() for file in files))


def read_parts(home: Path, named: str) -> Parts:
    """Read a folder of templates that a spec in `home` names; hidden files are passed over.

    Raises LeangenError for what is not inside of `home`, is a link, or stands in for nothing.
    """
    folder = home / named
    base, place = os.path.realpath(home), os.path.realpath(folder)
    # What lies behind a link changes without the spec's folder: a review would not see it.
    straight = place == os.path.normpath(os.path.join(base, named))
    if not straight or place == base or not Path(place).is_relative_to(base):
        message = f"{named} is no folder inside the spec's own, or a link"
        raise LeangenError.of(message, remedy="put it beside the spec", code="path")
    if not folder.is_dir():
        raise LeangenError.of(f"{folder} is no folder", remedy="make it", code="path")
    texts, wrong = {}, list[Diagnostic]()
    for file in _files(folder):
        try:
            texts[file.relative_to(folder).as_posix()] = _read(file, folder)
        except LeangenError as error:
            wrong += error.diagnostics
        if len(wrong) == MOST:  # as where another folder was meant
            break
    if wrong:
        raise LeangenError(wrong)
    return Parts(str(folder), tuple(sorted(texts.items())))


def _files(folder: Path) -> Iterator[Path]:
    """List the files below a folder, and the links."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in sorted([*files, *links]):
            if not name.startswith("."):
                yield Path(root, name)


def _read(file: Path, folder: Path) -> str:
    name = file.relative_to(folder).as_posix()
    if name not in known():
        close = near(name, known())
        remedy = f"did you mean {close[0]}?" if close else "templates/ has all names"
        message = "no template of leangen has this path"
        raise LeangenError.of(message, remedy=remedy, file=str(file), code="template")
    if file.is_symlink() or not file.is_file():
        message = "is no regular file"
        raise LeangenError.of(message, file=str(file), code="template")
    with file.open("rb") as opened:
        return decode(opened.read(MAX_BYTES + 1), str(file), "a template").text
