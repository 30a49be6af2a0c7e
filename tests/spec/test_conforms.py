"""Our own validator says what jsonschema says, of valid values and of all others."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leangen.spec.check.conforms import SILENT, WORDS, conforms
from leangen.spec.check.schema import fields, schema_of_values
from leangen.spec.check.validate import validator

PAGE = yaml.safe_load("""
leangen: 1
name: demo
model: {architecture: llama, hidden_size: 64, intermediate_size: 128,
  num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 64}
tokenizer: {bpe: 300}
data: {source: text, path: [a, b]}
sparsity: {pattern: "2:4", recover: {tokens: 5, distill: true}}
quantization: {weights: 4, kv_cache: 8}
target: {hardware: h200, context: 64}
serve: {host: 127.0.0.1}
""")
SHORT = {name: PAGE[name] for name in ("leangen", "name", "model", "target")}
Edits = list[tuple[tuple[str, ...], bool, Any]]
PATHS = [tuple(map(str, path)) for path, _ in fields(schema_of_values())]


def once(values: Iterable[Any]) -> list[Any]:
    """Leave out what was there before: many fields have the same bounds."""
    return list({(type(value), value): value for value in values}.values())


CHOICES = once(
    choice
    for _, field in fields(schema_of_values())
    for choice in field.get("enum", ())
)
BOUNDS = once(
    field[word] + step
    for _, field in fields(schema_of_values())
    for word in field
    if "imum" in word.lower()
    for step in (-1, 0, 1, 0.5)
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(CHOICES),
    st.sampled_from(BOUNDS),
    st.sampled_from(["dense", "2:4", "2:5", "16:16", "a" * 1025, "a.b", "-a", "a\n"]),
    st.lists(st.one_of(st.text(max_size=2), st.integers()), max_size=3),
    st.just([]),
    st.just({}),
    st.just(["x"] * 257),
    st.dictionaries(st.sampled_from(["bpe", "tokens", "x"]), st.integers(), max_size=2),
)
EDITS = st.lists(st.tuples(st.sampled_from(PATHS), st.booleans(), VALUES), max_size=4)


def edited(edits: Edits, valid: dict[str, Any] = PAGE) -> dict[str, Any]:
    """Set, or delete, fields of a valid page."""
    page = deepcopy(valid)
    for path, there, value in edits:
        section: Any = page
        for step in path[:-1]:
            section = section.setdefault(step, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section.pop(path[-1], None)
            if there:
                section[path[-1]] = value
    return page


@settings(max_examples=500, deadline=None)
@given(EDITS)
@example([])
def test_it_agrees_with_jsonschema(edits: Edits) -> None:
    values = edited(edits)
    assert conforms(values, schema_of_values()) == validator().is_valid(values), values


def test_every_field_takes_what_jsonschema_takes() -> None:
    assert conforms(SHORT, schema_of_values())
    whole: list[Any] = [
        None,
        True,
        1,
        1.0,
        -0.0,
        10**400,
        1e300,
        "",
        "a",
        "2:4",
        [],
        ["a"],
        {},
    ]
    for path in PATHS:
        for value in (*whole, *CHOICES, *BOUNDS):
            values = edited([(path, True, value)], SHORT)
            ours = conforms(values, schema_of_values())
            assert ours == validator().is_valid(values), (path, value)


def words(schema: Any) -> set[str]:
    """List the words that a schema uses, in itself and in the schemas inside."""
    inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inside += [schema[w] for w in ("if", "then", "else", "not", "items") if w in schema]
    return set(schema).union(*map(words, inside))


def test_it_knows_every_word_of_the_schema() -> None:
    used = {word for word in words(schema_of_values()) if not word.startswith("x-")}
    assert used <= WORDS.keys() | SILENT
    for _, field in fields(schema_of_values()):
        assert field.get("additionalProperties", False) is False
        assert all(isinstance(one, str | int) for one in field.get("enum", ()))
