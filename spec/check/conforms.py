"""Whether values conform to schema.json: the words of JSON Schema that it uses.

jsonschema, which explains what does not conform, takes longer to import than a spec
takes to check. A test holds both to the same answers.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from leangen.spec.check.schema import Schema, types

# What says nothing of a value by itself; so does every word that starts with x-.
SILENT = {"$schema", "title", "description", "examples", "default", "then", "else"}


def conforms(value: Any, schema: Schema) -> bool:
    """Tell whether a value is what a schema allows; KeyError for words not known here."""
    return all(
        WORDS[word](value, schema)
        for word in schema
        if word not in SILENT and not word.startswith("x-")
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value % 1 == 0,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


def _type(value: Any, schema: Schema) -> bool:
    return any(_TYPES[name](value) for name in types(schema))


def _enum(value: Any, schema: Schema) -> bool:
    """Compare as JSON does: true is not 1, and 1.0 is."""
    truth = isinstance(value, bool)
    return any(
        truth == isinstance(one, bool) and value == one for one in schema["enum"]
    )


def _if(value: Any, schema: Schema) -> bool:
    branch = "then" if conforms(value, schema["if"]) else "else"
    return conforms(value, schema.get(branch, {}))


def _items(value: Any, schema: Schema) -> bool:
    found = value if isinstance(value, list) else []
    return all(conforms(item, schema["items"]) for item in found)


def _properties(value: Any, schema: Schema) -> bool:
    known, found = schema["properties"], value if isinstance(value, dict) else {}
    return all(conforms(found[n], known[n]) for n in found if n in known)


def _only_properties(value: Any, schema: Schema) -> bool:
    """Take additionalProperties for false, which is what schema.json says of it."""
    return not isinstance(value, dict) or value.keys() <= schema["properties"].keys()


WORDS: Mapping[str, Callable[[Any, Schema], bool]] = {
    "additionalProperties": _only_properties,
    "anyOf": lambda value, schema: any(conforms(value, s) for s in schema["anyOf"]),
    "enum": _enum,
    "exclusiveMaximum": lambda v, s: not _is_number(v) or v < s["exclusiveMaximum"],
    "exclusiveMinimum": lambda v, s: not _is_number(v) or v > s["exclusiveMinimum"],
    "if": _if,
    "items": _items,
    "maxItems": lambda v, s: not isinstance(v, list) or len(v) <= s["maxItems"],
    "maxLength": lambda v, s: not isinstance(v, str) or len(v) <= s["maxLength"],
    "maximum": lambda v, s: not _is_number(v) or v <= s["maximum"],
    "minItems": lambda v, s: not isinstance(v, list) or len(v) >= s["minItems"],
    "minLength": lambda v, s: not isinstance(v, str) or len(v) >= s["minLength"],
    "minimum": lambda v, s: not _is_number(v) or v >= s["minimum"],
    "not": lambda value, schema: not conforms(value, schema["not"]),
    "pattern": lambda v, s: not isinstance(v, str) or bool(re.search(s["pattern"], v)),
    "properties": _properties,
    "required": lambda v, s: not isinstance(v, dict) or v.keys() >= {*s["required"]},
    "type": _type,
}
