"""The nearest valid spelling of what a spec got wrong."""

import re

from leangen.spec.check.schema import (
    Schema,
    aliases,
    field_at,
    fields,
    properties,
    schema,
    types,
)
from leangen.spec.check.wording import figure, near
from leangen.spec.text.document import FieldPath, Node, dotted
from leangen.spec.text.scalars import add_unit, mend_quantity, read_quantity, resolve

_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def value_for(node: Node, field: Schema) -> str:
    """Guess what a value should have been, '' without a good guess."""
    if isinstance(node.value, dict | list | None):
        return ""
    text = node.raw.strip()
    if "x-quantity" in field:
        return _quantity(text, field)
    if field.get("type") == "boolean":
        return _BOOLEANS.get(text.lower(), "")
    number = resolve(text)
    counts = {"integer", "number"} & {*types(field)}
    if counts and isinstance(number, int | float) and not isinstance(number, bool):
        return _number(number, field)
    return _text(text, field)


def field_for(name: str, section: FieldPath) -> str:
    """Guess which field an unknown name means: here, elsewhere, by another name."""
    from difflib import get_close_matches  # only what is wrong needs it

    inside = properties(field_at(section))
    alias = (known for known, field in inside.items() if name in aliases(field))
    elsewhere = (
        dotted(path)
        for path, field in sorted(fields(schema()), key=lambda item: len(item[0]))
        if path[-1] == name or name in aliases(field)
    )
    close = get_close_matches(name.lower().replace("-", "_"), inside, 1, 0.7)
    return next(alias, "") or next(elsewhere, "") or next(iter(close), "")


def _quantity(text: str, field: Schema) -> str:
    """Mend the unit, or move into the range."""
    kind = field["x-quantity"]
    mended = mend_quantity(kind, add_unit(text) if kind == "bytes" else text)
    value = read_quantity(kind, mended)
    if value is None:
        return ""
    nearest = min(max(value, field["minimum"]), field["maximum"])
    return mended if value == nearest else figure(field, nearest)


def _number(number: float, field: Schema) -> str:
    """Give the nearest number that is allowed."""
    if "enum" in field:
        choices: list[float] = field["enum"]
        return str(min(choices, key=lambda choice: abs(choice - number)))
    if number < field.get("minimum", number):
        return figure(field, field["minimum"])
    if number > field.get("maximum", number):
        return figure(field, field["maximum"])
    inside = field.get("exclusiveMinimum", number - 1) < number
    if not inside or number >= field.get("exclusiveMaximum", number + 1):
        return ""
    return figure(field, number if "number" in types(field) else round(number))


def _text(text: str, field: Schema) -> str:
    """Give the nearest of the choices, or a spelling that the pattern takes."""
    choices = field.get("x-suggest") or field.get("enum", [])
    choices = [str(choice) for choice in choices] or field.get("then", {}).get("enum")
    if choices:
        return next(iter(near(text, choices)), "")
    spelled = re.sub("[^a-z0-9]+", "-", text[:63].lower()).strip("-")
    fits = "pattern" in field and re.fullmatch(field["pattern"], spelled)
    return spelled if fits else ""
