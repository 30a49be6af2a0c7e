"""FILE:LINE of a generated folder, and the spec that the folder was made from."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from leangen.generator import lock
from leangen.spec import LeangenError

PLACE = re.compile(r"(.+?):([0-9]{1,9})(?::[0-9]*)?")
BESIDE = ("*.y*ml", "*/*.y*ml", "*/*/*.y*ml")  # from what holds the output folder


@dataclass(frozen=True)
class Place:
    """A line, 1-based, of a file in a generated folder; `file` is as it was written."""

    file: Path
    line: int

    @property
    def folder(self) -> Path:
        """The folder of the spec's name."""
        return Path(os.path.abspath(self.file)).parent


def place_in(text: str) -> Place | None:
    """Read FILE:LINE, or FILE:LINE:COLUMN; None where it is none."""
    found = PLACE.fullmatch(text)
    return Place(Path(found[1]), int(found[2])) if found else None


def spec_of(place: Place) -> Path:
    """Find the spec that has the name of a generated folder, from where its output lies.

    Raises LeangenError where there is none, or more than one.
    """
    folder = place.folder
    if not (folder / lock.NAME).is_file():
        raise LeangenError.of(
            f"leangen did not write {place.file.parent}: it has no {lock.NAME}",
            remedy="name a line of a generated file, such as generated/NAME/train.py:31",
            code="not-generated",
        )
    named = re.compile(rf"(?m)^name: *[\"']?{re.escape(folder.name)}[\"']? *(#.*)?$")
    found = [
        Path(os.path.relpath(file))
        for pattern in BESIDE
        for file in sorted(folder.parent.parent.glob(pattern))
        if file.is_file() and named.search(file.read_text("utf-8", errors="replace"))
    ]
    if len(found) == 1:
        return found[0]
    listed = f": {', '.join(map(str, found))}" if found else ""
    raise LeangenError.of(
        f"{len(found) or 'no'} specs near {place.file.parent} have its name{listed}",
        remedy="name the one meant: leangen explain FILE:LINE SPEC",
        code="which-spec",
    )
