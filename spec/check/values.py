"""Nodes to plain values: what the schema calls text, a number, a quantity, a list."""

from typing import Any

from leangen.spec.check.schema import Schema, properties, types
from leangen.spec.text.document import Node
from leangen.spec.text.scalars import Scalar, read_quantity


def read(node: Node, field: Schema) -> Any:
    """Read a node as its field wants it; what does not fit stays as it was written."""
    if isinstance(node.value, dict):
        inside = properties(field)
        return {
            name: read(child, inside.get(name, {}))
            for name, child in node.value.items()
        }
    if isinstance(node.value, list):
        return [read(child, field.get("items", {})) for child in node.value]
    if "x-list" in field and node.value is not None:
        return [_scalar(node.value, node.raw, field["items"])]
    return _scalar(node.value, node.raw, field)


def fill(values: dict[str, Any], section: Schema) -> dict[str, Any]:
    """Add the defaults of the schema to the fields of a section."""
    filled = dict(values)
    for name, field in properties(section).items():
        if name not in filled and "default" in field:
            filled[name] = _default(field)
        if isinstance(filled.get(name), dict):
            filled[name] = fill(filled[name], field)
    return filled


def _default(field: Schema) -> Any:
    default = field["default"]
    if isinstance(default, dict):
        return default
    return _scalar(default, str(default), field)


def _scalar(value: Scalar, raw: str, field: Schema) -> Scalar:
    """Take the text where text is wanted, and a number's type from the schema."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, raw, field)
    if value is None:
        return None
    if "x-quantity" in field:
        quantity = read_quantity(field["x-quantity"], raw)
        return raw if quantity is None else quantity
    return raw if "string" in types(field) else value


def _number(value: float, raw: str, field: Schema) -> Scalar:
    """Make 256.0 an integer and 1 a float where the schema wants so."""
    kinds = types(field)
    if "integer" in kinds:
        return int(value) if value == int(value) else value
    if "number" in kinds:
        return float(value)
    return raw if "string" in kinds else value
