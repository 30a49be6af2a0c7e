"""What users see when something is wrong: diagnostics, and the one exception."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

SHOWN = 96  # characters of a source line that a report shows
MOST = 50  # findings of one file that a report lists


@dataclass(frozen=True)
class Diagnostic:
    """One finding; line and column are 1-based, 0 where there is no place.

    With `expected`, `suggestion` is the nearest valid spelling; without, a
    remedy in words. `source` is the line of the file, `width` what to underline.
    """

    code: str
    message: str
    severity: str = "error"
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    expected: str = ""
    suggestion: str = ""
    source: str = ""
    width: int = 1


class LeangenError(Exception):
    """What a user can put right: diagnostics, and the exit code of the command."""

    def __init__(self, diagnostics: Iterable[Diagnostic], exit_code: int = 2) -> None:
        self.diagnostics = tuple(diagnostics)
        self.exit_code = exit_code
        super().__init__(self.diagnostics, exit_code)

    @classmethod
    def of(
        cls,
        message: str,
        *,
        remedy: str = "",
        code: str = "error",
        exit_code: int = 2,
        file: str = "",
    ) -> "LeangenError":
        """Make the error of one finding that has no line to point at."""
        found = Diagnostic(code=code, message=message, suggestion=remedy, file=file)
        return cls([found], exit_code)

    def __str__(self) -> str:
        return "\n".join(map(render, self.diagnostics))


def bounded(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Keep the first findings of a file, and say how many more there are."""
    more = len(found) - MOST
    if more <= 0:
        return list(found)
    message = f"{more:,} more findings are not listed"
    return [*found[:MOST], Diagnostic("too-many", message, file=found[0].file)]


def as_json(diagnostic: Diagnostic) -> dict[str, str | int]:
    """Describe a finding for `--json`."""
    expected = f"; expected {diagnostic.expected}" if diagnostic.expected else ""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message + expected,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "path": diagnostic.path,
        "suggestion": diagnostic.suggestion,
    }


def render(diagnostic: Diagnostic) -> str:
    """Write a finding for a terminal: where, what, and what to write instead."""
    if not diagnostic.line:
        return _one_line(diagnostic)
    place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
    source, before, width = _excerpt(diagnostic)
    caret = f"{before}{'^' * width} {_advice(diagnostic)}"
    lines = [
        printable(_head(place, diagnostic)),
        f"{diagnostic.line:>5} | {source}",
        f"{'':>5} | {printable(caret)}",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _one_line(diagnostic: Diagnostic) -> str:
    """Write a finding that has no place in a file."""
    subject = diagnostic.file or diagnostic.severity
    parts = [_head(subject, diagnostic), _advice(diagnostic)]
    return printable("; ".join(filter(None, parts)))


def in_a_line(diagnostic: Diagnostic) -> str:
    """Write what a finding says, for those who show its place themselves."""
    fact = ": ".join(filter(None, (diagnostic.path, diagnostic.message)))
    return printable("; ".join(filter(None, (fact, _advice(diagnostic)))))


def _head(subject: str, diagnostic: Diagnostic) -> str:
    """State the subject, the field and the fact."""
    severity = diagnostic.severity.replace("error", "").replace(subject, "")
    path = diagnostic.path
    shown = path if len(path) <= SHOWN else f"{path[: SHOWN - 1]}…"
    parts = [subject, severity, shown, diagnostic.message]
    return ": ".join(filter(None, parts))


def _advice(diagnostic: Diagnostic) -> str:
    """Say what is allowed, and what to write instead."""
    if not diagnostic.expected:
        return diagnostic.suggestion
    expected, nearest = f"expected {diagnostic.expected}", diagnostic.suggestion
    return f"{expected}; did you mean {nearest}?" if nearest else expected


def _excerpt(diagnostic: Diagnostic) -> tuple[str, str, int]:
    """Cut the source line around the place: its text, the indent and the carets."""
    start = max(0, diagnostic.column - SHOWN * 3 // 4)
    line = printable(diagnostic.source[start : start + SHOWN])
    before = line[: diagnostic.column - 1 - start]
    marked = line[len(before) :][: diagnostic.width]
    return line.rstrip(), " " * _cells(before), max(1, _cells(marked))


def _cells(text: str) -> int:
    """Count the terminal columns that a text takes."""
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(combining, text)))


def printable(text: str) -> str:
    """Replace what could move a terminal's cursor, letter by letter."""
    spaced = re.sub(r"\s", " ", text)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in spaced)
