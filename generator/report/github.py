"""Findings as annotations: the workflow commands that GitHub Actions reads in a log."""

from collections.abc import Iterable
from pathlib import PurePath

from leangen.spec import Diagnostic
from leangen.spec.errors import in_a_line

ENDS = {"%": "%25", "\r": "%0D", "\n": "%0A"}  # what would end a command
DATA = str.maketrans(ENDS)
PROPERTY = str.maketrans(ENDS | {":": "%3A", ",": "%2C"})


def annotations(found: Iterable[Diagnostic]) -> str:
    """Write a command a finding; nothing in one can be a second command."""
    return "".join(f"{_annotation(each)}\n" for each in found)


def _annotation(found: Diagnostic) -> str:
    properties = {"title": f"leangen {found.code}"}
    if found.file:
        properties["file"] = PurePath(found.file).as_posix()
    if found.line:
        properties |= {"line": str(found.line), "col": str(found.column)}
    listed = [f"{name}={text.translate(PROPERTY)}" for name, text in properties.items()]
    data = in_a_line(found).translate(DATA)
    return f"::{found.severity} {','.join(listed)}::{data}"
