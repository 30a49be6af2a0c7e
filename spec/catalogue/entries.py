"""Entries of a config.json: one is what it has to be, or an error that names it."""

import json
from typing import Any

from leangen.spec.catalogue.models import Config
from leangen.spec.errors import LeangenError

LARGEST = 2**27  # of any size in a config.json
MOST = {"num_hidden_layers": 1_000, "num_attention_heads": 65_536}  # likewise


def spelling(config: Config, names: tuple[str, ...]) -> str:
    """Choose the spelling that is there; raises LeangenError where two differ."""
    given = [name for name in names if config.get(name) is not None]
    for other in given[1:]:
        if config[other] != config[given[0]]:
            raise wrong(f"{given[0]} is not what {other} says")
    return next(iter(given), names[0])


def size(config: Config, name: str, absent: int | None = None) -> int:
    """Read a size; without `absent`, the value of a name that is not there, it must be."""
    value = config.get(name)
    if value is None and absent is not None:
        return absent
    if type(value) is not int or not 0 < value <= MOST.get(name, LARGEST):
        found = "is missing" if value is None else f"is {shown(value)}: not a size"
        raise wrong(f"{name} {found}")
    return value


def flag(config: Config, name: str) -> bool:
    value = config.get(name)
    if value is not None and type(value) is not bool:
        raise wrong(f"{name} is {shown(value)}: neither true nor false")
    return value is True


def number(config: Config, name: str, absent: float) -> float:
    value = config.get(name, absent)
    if type(value) not in (int, float) or not 0 < value < 1e15:
        raise wrong(f"{name} is {shown(value)}: not a number above 0")
    return float(value)


def shown(value: Any) -> str:
    """Write a value for a message; what has values inside is only named."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:40]


def wrong(message: str, remedy: str = "", code: str = "config") -> LeangenError:
    return LeangenError.of(f"config.json: {message}", remedy=remedy, code=code)
