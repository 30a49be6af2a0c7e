"""What a sweep is over, in a line: FIELD=VALUE,VALUE, and where that holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from leangen.spec.check.schema import field_at, schema, types
from leangen.spec.check.validate import validate
from leangen.spec.check.values import read
from leangen.spec.errors import Diagnostic, LeangenError
from leangen.spec.text.document import Document, Node
from leangen.spec.text.scalars import resolve
from leangen.spec.text.source import Place, Source, forbidden_in

WITH, WITHOUT = "with", "without"  # of a section: as the spec has it, or left out
# What makes no other model, or what every variant shares.
FIXED = ("leangen", "name", "export", "gates", "budget", "ejected", "sweep") + (
    "evaluate.sensitivity",
)
EXAMPLE = "quantization.weights=16,8,4"

_WHERE, _AND = re.compile(r"\s+where\s+"), re.compile(r"\s+and\s+")
_CHOICE = re.compile(r"\s*([^=\s]+)\s*=(.*)", re.DOTALL)
Part = tuple[int, str]  # of a line: where it starts, and its text


@dataclass(frozen=True)
class Choice:
    """A field, and values of it, as a spec's are read."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """What is varied: a choice, and the choices that a variant must be of to have it."""

    choice: Choice
    where: tuple[Choice, ...] = ()


def axis(line: str, file: str) -> Axis:
    """Read FIELD=VALUE,VALUE where FIELD=VALUE; `file` is the name that errors carry."""
    source = _source(line, file)
    first, *conditions = _cut(_WHERE, (0, line))
    if len(conditions) > 1:
        raise _error(source, conditions[1], "where is there already", "write and")
    where = tuple(each for part in conditions for each in _choices(source, part))
    return Axis(_choice(source, first), where)


def axes(lines: Iterable[str], file: str) -> list[Axis]:
    """Read an axis a line; raises LeangenError where two are of one field."""
    found: list[Axis] = []
    for line in lines:
        each = axis(line, file)
        if each.choice.field in [other.choice.field for other in found]:
            message, remedy = "there is an axis of it already", "name all values in one"
            raise _error(
                _source(line, file), (0, line), message, remedy, each.choice.field
            )
        found.append(each)
    return found


def conditions(line: str, file: str) -> tuple[Choice, ...]:
    """Read FIELD=VALUE,VALUE and FIELD=VALUE."""
    return tuple(_choices(_source(line, file), (0, line)))


def _source(line: str, file: str) -> Source:
    """Take a line for a file, so that errors point into it."""
    found = forbidden_in(line)
    if found:
        message = f"character {found} may not stand in an axis"
        raise LeangenError.of(message, code="character", file=file)
    return Source(file, line, (line,))


def _cut(pattern: re.Pattern[str], part: Part) -> list[Part]:
    """Cut a part at a pattern."""
    start, text = part
    ends = [(0, 0), *(match.span() for match in pattern.finditer(text))]
    nexts = [begin for begin, _ in ends[1:]] + [len(text)]
    return [
        (start + begin, text[begin:end])
        for (_, begin), end in zip(ends, nexts, strict=True)
    ]


def _choices(source: Source, part: Part) -> list[Choice]:
    return [_choice(source, each) for each in _cut(_AND, part)]


def _choice(source: Source, part: Part) -> Choice:
    """Read a field and its values, each as a spec's would be."""
    start, text = part
    match = _CHOICE.fullmatch(text)
    if match is None:
        message = "is not a field and its values"
        raise _error(source, part, message, f"write it as {EXAMPLE}")
    name = match[1]
    at = Place(1, start + match.start(1) + 1, len(name))
    if any(f"{name}.".startswith(f"{fixed}.") for fixed in FIXED):
        message, remedy = "is the same in every variant", "name another field"
        place = (at.column - 1, name)
        raise _error(source, place, message, remedy, name)
    values = _cut(re.compile(","), (start + match.start(2), match[2]))
    return Choice(name, tuple(_value(source, name, at, each) for each in values))


def _value(source: Source, name: str, at: Place, part: Part) -> Any:
    """Read a value as its field's; raises what a spec with it there would."""
    start, text = part
    raw = text.strip()
    place = Place(1, start + len(text) - len(text.lstrip()) + 1, max(1, len(raw)))
    node = Node(place, resolve(raw), raw, at)
    steps = name.split(".")
    if types(field_at(tuple(steps))) == ("object",):
        return _presence(source, name, node)
    for step in reversed(steps):
        node = Node(at, {step: node}, key=at)
    document = Document(source, node)
    found: Any = read(node, schema())
    wrong = [each for each in validate(document, found) if _is_of(each, name)]
    if wrong:
        raise LeangenError(sorted(wrong, key=lambda each: each.path))
    for step in steps:
        found = found[step]
    return found


def _presence(source: Source, name: str, node: Node) -> str:
    """Read whether a variant has a section of the spec."""
    if node.raw in (WITH, WITHOUT):
        return node.raw
    found = source.diagnostic(
        node.place,
        "value",
        f"{node.raw!r} does not say whether a variant has the section",
        path=name,
        expected=f"{WITH} (as the spec has it) or {WITHOUT}",
    )
    raise LeangenError([found])


def _is_of(found: Diagnostic, name: str) -> bool:
    """Tell whether a finding is of a field, a step to it, or an item in it.

    What the rest of a spec lacks is not there to be found.
    """
    return found.code != "missing-field" and (
        f"{name}.".startswith(f"{found.path}.") or found.path.startswith(f"{name}[")
    )


def _error(
    source: Source, part: Part, message: str, remedy: str, path: str = ""
) -> LeangenError:
    start, text = part
    place = Place(1, start + 1, max(1, len(text)))
    found = source.diagnostic(place, "axis", message, path=path, suggestion=remedy)
    return LeangenError([found])
