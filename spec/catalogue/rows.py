"""Reads the files of the catalogues: rows by name, in YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def read_rows(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Read all rows of a catalogue beside this file, in its order."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=loader)
    return rows
