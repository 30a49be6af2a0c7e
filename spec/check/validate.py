"""What the schema says of a document: its errors, located and in plain words."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from leangen.spec.check.conforms import conforms
from leangen.spec.check.schema import field_at, properties, schema_of_values
from leangen.spec.check.suggest import field_for, value_for
from leangen.spec.check.wording import expected, found, noun
from leangen.spec.errors import Diagnostic
from leangen.spec.text.document import Document, FieldPath, Node, dotted, shorten, steps

if TYPE_CHECKING:
    from jsonschema import Draft7Validator, ValidationError

_OUTSIDE = {
    "minimum": "{} is too small",
    "exclusiveMinimum": "{} is too small",
    "maximum": "{} is too large",
    "exclusiveMaximum": "{} is too large",
    "maxItems": "the list is too long",
    "minItems": "the list is empty",
    "minLength": "the text is empty",
    "maxLength": "the text is too long",
}


def validate(document: Document, values: dict[str, Any]) -> set[Diagnostic]:
    """Find everything in the values of a document that the schema does not allow."""
    if conforms(values, schema_of_values()):
        return set()
    return {
        diagnostic
        for error in validator().iter_errors(values)
        for diagnostic in _diagnostics(document, error)
    }


def meant(found: Diagnostic) -> str:
    """Give the path of the field that an unknown name means, '' if there is none."""
    if found.code != "unknown-field" or not found.suggestion:
        return ""
    section = steps(found.path)[:-1]
    beside = (*section, found.suggestion)
    return dotted(beside) if field_at(beside) else found.suggestion


def without_echoes(wrong: set[Diagnostic]) -> list[Diagnostic]:
    """Leave out fields that are missing only because their name is misspelt."""
    misspelt = {meant(found) for found in wrong}
    return [
        found
        for found in wrong
        if found.code != "missing-field" or found.path not in misspelt
    ]


@cache
def validator() -> "Draft7Validator":
    """Import jsonschema where there is something to explain: it takes a while."""
    from jsonschema import Draft7Validator

    return Draft7Validator(schema_of_values())


def _diagnostics(document: Document, error: "ValidationError") -> Iterable[Diagnostic]:
    """Turn one error of jsonschema into ours."""
    path = tuple(error.absolute_path)
    if error.validator == "required":
        required: Any = error.validator_value
        return _missing(document, path, required)
    if error.validator == "additionalProperties":
        return _unknown(document, path)
    return [_misfit(document, path, str(error.validator))]


def _missing(
    document: Document, section: FieldPath, required: list[str]
) -> Iterator[Diagnostic]:
    """Report the fields that a section needs and does not have."""
    node = document.nearest(section)
    for name in required:
        path = (*section, name)
        if name not in node.children:
            yield document.source.diagnostic(
                node.caret,
                "missing-field",
                "is missing",
                path=dotted(path),
                expected=f"{name}: {expected(field_at(path))}",
            )


def _unknown(document: Document, section: FieldPath) -> Iterator[Diagnostic]:
    """Report the names in a section that the schema does not have."""
    known = properties(field_at(section))
    for name, node in document.nearest(section).children.items():
        if name not in known:
            yield document.source.diagnostic(
                node.key or node.place,
                "unknown-field",
                f"{shorten(str(name))} is not a field of {_section(section)}",
                path=dotted((*section, name)),
                expected=", ".join(known),
                suggestion=field_for(str(name), section),
            )


def _section(path: FieldPath) -> str:
    return dotted(path) or "a spec"


def _misfit(document: Document, path: FieldPath, keyword: str) -> Diagnostic:
    """Report a value that its field does not take."""
    if document.find(path) is None:  # the only item of a list, written without [ ]
        path = path[:-1]
    node, field = document.nearest(path), field_at(path)
    alone = {} if isinstance(node.value, list) else field.get("items", {})
    return document.source.diagnostic(
        node.caret,
        "range" if keyword in _OUTSIDE else "value",
        _fact(node, path, keyword),
        path=dotted(path),
        expected=expected(field, node.raw),
        suggestion=value_for(node, alone or field),
    )


def _fact(node: Node, path: FieldPath, keyword: str) -> str:
    """State what is wrong with a value."""
    if node.value is None:
        return "has no value"
    if keyword in _OUTSIDE:
        return _OUTSIDE[keyword].format(found(node))
    field = field_at(path)
    if keyword == "enum" and isinstance(node.value, int):
        return f"{found(node)} is not allowed"
    return f"{found(node)} is not {noun(field, path)}"
