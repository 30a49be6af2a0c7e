"""The schema says all there is to say of a field, and docs/spec.md repeats it."""

from pathlib import Path

import pytest

from leangen.spec.check.schema import fields, schema
from leangen.spec.check.validate import validator
from leangen.spec.reference import markdown
from leangen.spec.text.document import dotted
from leangen.spec.text.scalars import UNITS

FIELDS = {dotted(path): field for path, field in fields(schema())}
PAGE = Path(__file__).parents[2] / "docs" / "spec.md"


def test_the_page_is_what_the_schema_says() -> None:
    remedy = "run: python -m leangen.spec.reference > docs/spec.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(), remedy


def test_the_schema_is_a_schema() -> None:
    validator().check_schema(schema())


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_is_described(path: str) -> None:
    field = FIELDS[path]
    assert field["description"].endswith(".")
    assert field.get("x-quantity", "count") in UNITS
    assert "additionalProperties" in field or field["type"] != "object"


def test_other_names_of_a_field_are_not_fields_beside_it() -> None:
    for path, field in FIELDS.items():
        section = path.rpartition(".")[0]
        beside = {f"{section}.{name}" for name in field.get("x-aliases", [])}
        assert not beside & set(FIELDS)
