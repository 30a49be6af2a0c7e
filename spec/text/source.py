"""The text of a spec file: bytes that are safe to parse, and places in it."""

import errno
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from leangen.spec.errors import Diagnostic, LeangenError

MAX_BYTES = 1 << 20
STDIN = Path("-")

# libyaml counts lines by YAML 1.1, where three more characters end one.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

# What no field needs: controls, surrogates, non-characters, and the marks that
# turn the direction of text around, so that a reviewer reads what a machine does not.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Place:
    """A stretch of one line; line and column are 1-based."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True)
class Source:
    """The text of one file, and its lines without their ends."""

    file: str
    text: str
    lines: tuple[str, ...]

    def diagnostic(
        self,
        place: Place,
        code: str,
        message: str,
        *,
        path: str = "",
        expected: str = "",
        suggestion: str = "",
    ) -> Diagnostic:
        """Make a finding at a place, which is moved into the file if it is past it."""
        line = min(place.line, len(self.lines))
        shown = self.lines[line - 1]
        column = place.column if line == place.line else len(shown) + 1
        return Diagnostic(
            code=code,
            message=message,
            file=self.file,
            line=line,
            column=min(column, len(shown) + 1),
            path=path,
            expected=expected,
            suggestion=suggestion,
            source=shown,
            width=place.width,
        )


def name_of(path: Path) -> str:
    """Name a spec's file as errors do."""
    return "<stdin>" if path == STDIN else str(path)


def read_bytes(path: Path) -> bytes:
    """Read a spec file, no more of it than may be; raises LeangenError."""
    try:
        if path == STDIN:
            return _standard_input()
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        absent = isinstance(error, FileNotFoundError)
        remedy = f"start one with: leangen init {path}" if absent else ""
        raise LeangenError.of(
            f"cannot be read: {why}",
            remedy=remedy,
            code="unreadable",
            file=name_of(path),
        ) from error


def _standard_input() -> bytes:
    if sys.stdin is None:  # as when a shell closed it
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def decode(content: str | bytes, file: str, what: str = "a spec") -> Source:
    """Turn a file's content into text without surprises; raises LeangenError."""
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    if len(raw) > MAX_BYTES:
        message = f"is over 1 MiB: not {what}"
        raise LeangenError.of(message, file=file, code="too-large")
    text = content if isinstance(content, str) else _decode_utf8(content, file)
    source = _source(text.removeprefix("\ufeff"), file)
    found = _FORBIDDEN.search(source.text)
    if found:
        message = f"character {_name(found)} may not stand in {what}"
        raise _error(source, found.start(), "character", message, "delete it")
    return source


def forbidden_in(text: str) -> str:
    """Name the first character of a value that no spec may hold, '' if none."""
    found = re.search(f"[\n\r\t]|{_FORBIDDEN.pattern}", text)
    return _name(found) if found else ""


def _decode_utf8(content: bytes, file: str) -> str:
    """Decode strictly; points at the first byte that is not UTF-8."""
    if content.startswith(_UTF_16):
        remedy = "save it as UTF-8"
        raise LeangenError.of("is UTF-16", remedy=remedy, file=file, code="encoding")
    plain = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError as error:
        source = _source(plain.decode("utf-8", "replace"), file)
        start = len(plain[: error.start].decode("utf-8"))
        message = f"byte 0x{plain[error.start]:02x} is not UTF-8"
        remedy = "save the file as UTF-8"
        raise _error(source, start, "encoding", message, remedy) from error


def _source(text: str, file: str) -> Source:
    return Source(file, text, tuple(_LINE_END.split(text)))


def _name(found: re.Match[str]) -> str:
    return f"U+{ord(found[0]):04X}"


def _error(
    source: Source, start: int, code: str, message: str, remedy: str
) -> LeangenError:
    """Point at one character of the text."""
    before = _LINE_END.split(source.text[:start])
    place = Place(len(before), len(before[-1]) + 1)
    return LeangenError([source.diagnostic(place, code, message, suggestion=remedy)])
