"""A checkpoint's config.json, read as the JSON object that it has to be."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leangen.spec.catalogue.models import Config
from leangen.spec.errors import LeangenError
from leangen.spec.text.source import MAX_BYTES

MAX_DEPTH = 64  # levels of a config.json; those that are published have six


def read_object(file: Path) -> Config:
    """Read a JSON object from a file of a Hugging Face folder; raises LeangenError."""
    try:
        if file.exists() and not file.is_file():
            raise LeangenError.of(f"{file} is not a regular file", code="unreadable")
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise LeangenError.of(
            f"{file} cannot be read: {getattr(error, 'strerror', error)}",
            remedy="name the folder of a Hugging Face model, relative to the spec",
            code="unreadable",
        ) from None
    if len(content) > MAX_BYTES:
        raise LeangenError.of(f"{file} is over 1 MiB", code="config")
    return _parsed(content, file)


def _parsed(content: bytes, file: Path) -> Config:
    """Read a JSON object that is no deeper than a config.json may be."""
    try:
        config = json.loads(content)
    except ValueError:
        raise LeangenError.of(f"{file} is not JSON", code="config") from None
    except RecursionError:
        raise _too_deep(file) from None
    if not isinstance(config, dict):
        raise LeangenError.of(f"{file} holds no JSON object", code="config")
    level: list[Any] = [config]
    for _ in range(MAX_DEPTH):
        level = [value for node in level for value in _inside(node)]
    if level:
        raise _too_deep(file)
    return config


def _inside(value: Any) -> Iterable[Any]:
    """Give the values in an object or a list."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(file: Path) -> LeangenError:
    message = f"{file} is more than {MAX_DEPTH} levels deep"
    return LeangenError.of(message, code="config")
