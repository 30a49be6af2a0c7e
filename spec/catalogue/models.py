"""The published models that a spec may name by a preset, from models.yaml."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from leangen.spec.catalogue.checkpoint import Config
from leangen.spec.catalogue.rows import read_rows


@cache
def presets() -> Mapping[str, Config]:
    """Read every row of models.yaml, by name, in the order of the file."""
    return MappingProxyType(dict(read_rows("models.yaml")))
