"""A field by its name, and what explanations.yaml has to say of it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from leangen.spec.check.schema import aliases, fields, schema
from leangen.spec.check.wording import near
from leangen.spec.described import Field, described
from leangen.spec.errors import LeangenError
from leangen.spec.text.document import dotted

FILE = Path(__file__).parent / "explanations.yaml"
PROPOSED = 3  # names that an unknown one may mean


@cache
def explanations() -> Mapping[str, str]:
    """Read what fields deserve beyond their description: text and drawings, by path."""
    import yaml  # completing names needs none

    found: Mapping[str, str] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """List the paths of all fields and sections."""
    return [dotted(path) for path, _ in fields(schema())]


def named(name: str) -> Field:
    """Find a field or a section; raises LeangenError that proposes what is near."""
    found = {field.path: field for field in described()}
    if name in found:
        return found[name]
    meant = " or ".join(_nearest(name)[:PROPOSED])
    raise LeangenError.of(
        f"there is no field {name!r}",
        remedy=f"did you mean {meant}?" if meant else "leangen list fields has all",
        code="unknown-field",
    )


def _nearest(name: str) -> list[str]:
    """List the fields that end so, or are called so elsewhere, then those spelt alike."""
    last = name.rpartition(".")[2]
    same = [
        dotted(path)
        for path, field in fields(schema())
        if last in (path[-1], *aliases(field))
    ]
    return list(dict.fromkeys([*same, *near(name, names())]))
