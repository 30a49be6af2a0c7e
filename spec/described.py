"""Every field and engine in words: what `leangen list` and docs/spec.md both say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from leangen.spec.catalogue.engines import Engine
from leangen.spec.check.schema import Schema, field_at, fields, schema, types
from leangen.spec.check.wording import either, expected
from leangen.spec.text.document import FieldPath, dotted


@dataclass(frozen=True)
class Field:
    """A field of a spec; catalogue: the one that has the names that it takes."""

    path: str
    section: bool
    required: bool
    allowed: str
    default: Any
    description: str
    catalogue: str

    @property
    def parent(self) -> str:
        """Name the section that the field stands in, '' at the top."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Name the field inside its section."""
        return self.path.rpartition(".")[2]


def described() -> Iterator[Field]:
    """Describe every field, in the order of the schema."""
    for path, field in fields(schema()):
        yield _described(path, field)


def _described(path: FieldPath, field: Schema) -> Field:
    return Field(
        path=dotted(path),
        section=types(field) == ("object",),
        required=path[-1] in field_at(path[:-1]).get("required", ()),
        allowed=expected(field),
        default=field.get("default"),
        description=field["description"],
        catalogue=field.get("x-catalogue", ""),
    )


def bits(each: Sequence[int]) -> str:
    """List numbers of bits that an engine can use."""
    return either([str(number) for number in each])


def saving(engine: Engine) -> str:
    """List the patterns whose zeros save something in an engine."""
    patterns = (f"{name} at {bits(b)} bits" for name, b in engine.patterns.items())
    return ", ".join(patterns) or "none"
