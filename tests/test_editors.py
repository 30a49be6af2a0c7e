"""What editors make of `leangen schema`: they take the good pages, and refuse the bad ones that a
schema can refuse."""

from pathlib import Path
from typing import Any

import pytest

from leangen.spec import LeangenError, loads
from leangen.spec.check.schema import Schema, fields, for_editors, types
from leangen.spec.check.validate import validator
from leangen.spec.text.document import Node, dotted
from leangen.spec.text.parse import parse

SPEC = Path(__file__).parents[1] / "spec"
GOOD = [*sorted((SPEC / "examples").glob("*.yaml")), SPEC / "starter.yaml"]
BAD = sorted((Path(__file__).parent / "spec" / "errors").glob("*.yaml"))
FIELDS = {dotted(path): field for path, field in fields(for_editors())}
# What no schema sees: fields beside each other, other files, and how YAML is written.
BEYOND = {"contradiction", "path", "unreadable", "config", "model-type"}
BEYOND |= {"quantized-checkpoint", "duplicate-field", "tag"}


def plain(node: Node) -> Any:
    """Give what a reader of YAML 1.2 makes of a page."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def accepts(value: Any, schema: Schema) -> bool:
    """Ask the library of JSON Schema's authors, as `check-jsonschema` does."""
    return bool(type(validator())(schema).is_valid(value))


@pytest.mark.parametrize("page", GOOD, ids=lambda path: path.stem)
def test_good_pages_are_accepted(page: Path) -> None:
    assert accepts(plain(parse(page.read_bytes(), page.name).root), for_editors())


@pytest.mark.parametrize("page", BAD, ids=lambda path: path.stem)
def test_bad_pages_are_refused_where_a_schema_can(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(page.parent)
    with pytest.raises(LeangenError) as caught:
        loads(page.read_bytes(), page.name)
    try:
        document = parse(page.read_bytes(), page.name)
    except LeangenError:
        return  # no YAML, or none that we read: editors have words for most of it
    seen = any(each.code not in BEYOND for each in caught.value.diagnostics)
    assert accepts(plain(document.root), for_editors()) == (not seen)


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_says_what_may_stand_there(path: str) -> None:
    """Where neither choices, a default nor a section do, an example does; and all are right."""
    field = FIELDS[path]
    told = {"enum", "default", "examples", "properties", "else"} & field.keys()
    assert told or types(field) == ("boolean",) or "enum" in field.get("items", {})
    for example in field.get("examples", ()):
        assert accepts(example, field)
