"""What a spec could say instead: the values beside a field's own that the rules allow."""

from collections.abc import Iterator, Mapping
from typing import Any

from leangen.spec.catalogue.hardware import CUSTOM, Hardware
from leangen.spec.check.schema import Schema, field_at, properties, types
from leangen.spec.load import objection, vary
from leangen.spec.spec import Spec, Tokenizer
from leangen.spec.text.document import steps

Changes = Mapping[str, Any]  # by path; None leaves a field out
BESIDE = 4  # other fields that a change may take along
VOCABULARY = 2048  # of a BPE that is tried
PATHS = "*.txt"
LAYER = 0
LISTED = 2  # names that a list may hold that are tried


def neighbours(spec: Spec, path: str) -> Iterator[tuple[Changes, Spec]]:
    """Change a field to other values, and with it what the rules want changed, too."""
    section = path.rpartition(".")[0]
    if section and isinstance(value_in(spec, section), str | None):
        return  # there is no such section: tokenizer may be a text
    for value in _values(spec, path):
        changes = _settled(spec, {path: value})
        varied = vary(spec, changes) if changes else None
        if changes and varied:
            yield changes, varied


def written(spec: Spec, path: str) -> Any:
    """Give what the author wrote of a field, None where nothing is written."""
    found: Any = spec.written
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def value_in(spec: Spec, path: str) -> Any:
    """Give the value that a field has, written or not; that of a section is an object."""
    found: Any = written(spec, path)
    if found is not None:
        return found
    found = spec
    for step in path.split("."):
        found = getattr(found, step, None)
    if isinstance(found, Hardware):
        return found.id
    return found.kind if isinstance(found, Tokenizer) else found


def _settled(spec: Spec, changes: dict[str, Any]) -> Changes | None:
    """Take along what a change leaves idle, or asks for; None where that is not enough."""
    for _ in range(BESIDE + 1):
        problem = objection(spec, changes)
        if problem is None:
            return changes
        path = problem.field
        if not path or path in changes or "[" in path:
            return None
        idle = written(spec, path) is not None and not _required(path)
        values = [None] if idle else _values(spec, path)
        if not values:
            return None
        changes[path] = values[0]
    return None


def _required(path: str) -> bool:
    *section, name = steps(path)
    above = field_at(tuple(section))
    return name in above.get("required", above.get("then", {}).get("required", ()))


def _values(spec: Spec, path: str) -> list[Any]:
    """List values that the schema allows beside the one that a field has."""
    field, now = field_at(steps(path)), value_in(spec, path)
    found = [value for value in _others(field, now) if value != now]
    left_out = written(spec, path) is not None and "default" not in field
    return [*found, None] if left_out and not _required(path) else found


def _others(field: Schema, now: Any) -> list[Any]:
    kinds = types(field)
    if "x-catalogue" in field:
        return _beside([name for name in field["enum"] if name != CUSTOM], now)
    if "array" in kinds:
        return _lists(field["items"])
    if kinds == ("object",):
        return _sections(field) if now is None else []
    if "object" in kinds:  # the tokenizer: a text or a section
        return ["bytes", {"bpe": VOCABULARY}]
    if "boolean" in kinds:
        return [not now]
    if {"integer", "number"} & {*kinds} and "enum" not in field:
        return _numbers(field, now)
    return list(field.get("x-suggest") or field.get("enum") or _words(field, now))


def _beside(names: list[str], now: str) -> list[str]:
    """Take the names before and after one, in the order of their catalogue."""
    if now not in names:
        return []
    place = names.index(now)
    return names[max(0, place - 1) : place + 2]


def _lists(item: Schema) -> list[Any]:
    if "enum" in item:
        return [[one] for one in item["enum"][:LISTED]]
    return [[LAYER] if "integer" in types(item) else [PATHS]]


def _sections(field: Schema) -> list[Any]:
    """Open a section: empty where its fields have defaults, else with one field of it."""
    inside = properties(field)
    if "required" in field:
        return []
    if any("default" in each for each in inside.values()):
        return [{}]
    return [{name: value} for name in inside for value in _others(inside[name], None)]


def _numbers(field: Schema, now: Any) -> list[Any]:
    """Halve and double."""
    whole = "integer" in types(field)
    near = [now / 2, now * 2] if now else [2 * field.get("minimum", 0) or 0.5, 1]
    values = [int(value) if whole else value for value in near]
    return [value for value in values if _inside(field, value)]


def _inside(field: Schema, value: float) -> bool:
    least, above = field.get("minimum", value), field.get("exclusiveMinimum", value - 1)
    most, below = field.get("maximum", value), field.get("exclusiveMaximum", value + 1)
    return bool(least <= value <= most and above < value < below)


def _words(field: Schema, now: Any) -> list[str]:
    """Make another text of one: a name, an address; a path is none to make up."""
    return [f"{now}-2"] if now and "minLength" not in field else []
