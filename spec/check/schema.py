"""schema.json, the only place of fields, defaults and ranges, and its annotations.

Beside JSON Schema's own words a field may have: x-quantity (count, context or bytes:
a number with a unit, whose range applies once read), x-list (one text is a list of
one), x-catalogue (a name of that catalogue), x-noun, x-expected and x-suggest (what an
error says that a value is not, calls allowed, and proposes), x-aliases (names that others
give the field).
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from leangen.spec.catalogue.engines import engine_names
from leangen.spec.catalogue.hardware import CUSTOM, machines
from leangen.spec.catalogue.models import presets
from leangen.spec.text.document import FieldPath
from leangen.spec.text.scalars import quantity_pattern

Schema = Mapping[str, Any]

SCHEMA_FILE = Path(__file__).parents[1] / "schema.json"


@cache
def schema() -> Schema:
    """Read schema.json, with the names of the catalogues filled in for editors."""
    read: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    names = {
        "hardware": [*machines(), CUSTOM],
        "models": list(presets()),
        "engines": engine_names(),
    }
    for _, field in fields(read):
        if "x-catalogue" in field:
            field["enum"] = names[field["x-catalogue"]]
    return read


def for_editors() -> Schema:
    """Give the schema with what `validate` has better words for, and examples.

    How quantities are written, what one item is that stands without its list, and fields that
    are named by a number: yaml-language-server compares names, and 8 is none, but patterns.
    """
    told = deepcopy(dict(schema()))
    for _, field in fields(told):
        if "x-quantity" in field:
            field["pattern"] = quantity_pattern(field["x-quantity"])
        if "x-suggest" in field:
            field["examples"] = field["x-suggest"]
        numbered = {n: f for n, f in properties(field).items() if n.isdecimal()}
        if numbered:
            patterns = {f"^{name}$": inside for name, inside in numbered.items()}
            field["patternProperties"] = patterns
        if "x-list" in field:
            field |= {"if": {"type": "array"}, "then": {}, "else": field["items"]}
    return told


@cache
def schema_of_values() -> Schema:
    """Give the schema of what was read: quantities are numbers, one text is a list."""
    strict = deepcopy(dict(schema()))
    for _, field in fields(strict):
        if "x-quantity" in field:
            field["type"] = "integer"
        elif "x-list" in field:
            field["type"] = "array"
    return strict


def properties(section: Schema) -> Mapping[str, Any]:
    """Give the fields of a section, or those of the section that a text may be too."""
    inside: Mapping[str, Any] = section.get("else", section).get("properties", {})
    return inside


def fields(section: Schema, above: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Walk every field below a section, in the order of the file."""
    for name, field in properties(section).items():
        yield (*above, name), field
        yield from fields(field, (*above, name))


def field_at(path: FieldPath) -> Schema:
    """Look up what the schema says of a field or of an item of a list."""
    field = schema()
    for step in path:
        items = field.get("items", {})
        field = items if isinstance(step, int) else properties(field).get(step, {})
    return field


def types(field: Schema) -> tuple[str, ...]:
    """List the JSON types that a field may have."""
    declared = field.get("type", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def aliases(field: Schema) -> list[str]:
    """List the names that others give a field."""
    names: list[str] = field.get("x-aliases", [])
    return names
