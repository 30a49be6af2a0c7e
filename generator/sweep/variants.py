"""Combinations to variants: each a spec, planned and rendered, in a folder of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from leangen.generator.open import rendered
from leangen.generator.paths import as_scripts_look
from leangen.generator.project import Project, beside_disk
from leangen.generator.sweep.combine import Asked, Combination, combinations
from leangen.spec import Diagnostic, LeangenError, Spec
from leangen.spec.axes import WITH, WITHOUT
from leangen.spec.check.schema import field_at
from leangen.spec.errors import in_a_line
from leangen.spec.load import load_changed
from leangen.spec.text.document import steps
from leangen.spec.text.scalars import write_quantity

LONGEST = 32  # characters of a value in the name of a folder
WHOLE = 200  # characters of such a name, of the 255 that file systems have
BARE = {
    "sparsity.pattern": "{}",
    "quantization.weights": "{} bits",
}  # said without a name


@dataclass(frozen=True)
class Variant:
    """A combination under its name; `slug` names its folder.

    project: None where it is refused, and `why` says by what.
    """

    name: str
    slug: str
    combination: Combination
    project: Project | None
    why: str = ""

    @property
    def is_dense(self) -> bool:
        """Whether it is a model as it was trained, in floats."""
        if self.project is None:
            return False
        spec = self.project.spec
        return spec.sparsity.pattern == "dense" and spec.quantization.weights >= 16


def variants_of(base: Spec, file: Path, home: Path, asked: Asked) -> list[Variant]:
    """Make a variant of each combination; those that come to the same scripts are one."""
    found: list[Variant] = []
    for each in combinations(base, asked):
        name, slug = _name(each), _slug(each, [variant.slug for variant in found])
        variant = _variant(base, file, home / slug, each, name)
        if not any(_is_same(variant, other) for other in found):
            found.append(variant)
    return found


def _variant(
    base: Spec, file: Path, folder: Path, each: Combination, name: str
) -> Variant:
    """Load, plan and render a combination as if it were the spec's file."""
    refused: tuple[Diagnostic, ...]
    try:
        spec = load_changed(base, each.changes, file)
        opened = rendered(as_scripts_look(spec, file, folder.parent), folder, False)
        refused = opened.refusal
    except LeangenError as error:
        refused = error.diagnostics
    if refused:
        return Variant(name, folder.name, each, None, in_a_line(refused[0]))
    project = beside_disk(opened.spec, opened.plan, folder=folder, files=opened.files)
    return Variant(name, folder.name, each, project)


def _is_same(one: Variant, other: Variant) -> bool:
    """Tell whether two variants are the same files, or refused for the same."""
    if one.project and other.project:
        return one.project.files == other.project.files
    return (one.name, one.why) == (other.name, other.why)


def _name(each: Combination) -> str:
    """Name a combination for people: 2:4, 4 bits, method gptq."""
    words = [_words(field, value) for field, value in each.values.items()]
    if each.again:
        words.append(f"seed {each.seed}")
    return ", ".join(words) or "as the spec has it"


def _words(field: str, value: Any) -> str:
    name = field.rpartition(".")[2].replace("_", " ")
    if field in BARE:
        return BARE[field].format(value)
    if value in (WITH, WITHOUT):
        return f"{value} {name}"
    return f"{name} {_text(field, value)}"


def _slug(each: Combination, taken: Sequence[str]) -> str:
    """Name the folder of a combination: 2-4_4_method-gptq."""
    words = [
        _plain(_text(field, value))
        if field in BARE
        else f"{field.rpartition('.')[2]}-{_plain(_text(field, value))}"
        for field, value in each.values.items()
    ]
    if each.again:
        words.append(f"seed-{each.seed}")
    slug = "_".join(words)[:WHOLE].rstrip("-._") or "spec"
    others = (f"{slug}_{number}" for number in count(2))
    return next(each for each in chain([slug], others) if each not in taken)


def _plain(text: str) -> str:
    """Leave of a text what may stand in a folder's name."""
    return re.sub("[^A-Za-z0-9.]+", "-", text).strip("-.")[:LONGEST] or "x"


def _text(field: str, value: Any) -> str:
    """Write a value as a spec would."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    described = field_at(steps(field))
    if "x-quantity" in described and isinstance(value, int):
        return write_quantity(described["x-quantity"], value)
    return f"{value:g}" if isinstance(value, float) else str(value)
