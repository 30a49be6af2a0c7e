"""Bytes, times and changes in words."""

from collections.abc import Mapping
from typing import Any

from leangen.spec.text.scalars import write_quantity

QUANTITIES = {
    "target.context": "context",
    "target.vram_budget": "bytes",
    "model.max_position_embeddings": "context",
}


def size(count: int) -> str:
    """Write bytes for people, in the largest unit of which there is one."""
    if count >= 2**30:
        return f"{count / 2**30:.2f} GiB"
    if count >= 2**20:
        return f"{count / 2**20:.1f} MiB"
    return f"{count / 2**10:.1f} KiB"


def duration(seconds: tuple[float, float]) -> str:
    """Write a range of seconds in one unit."""
    units = (
        (86400, "days"),
        (3600, "h"),
        (60, "min"),
        (1, "s"),
        (1e-3, "ms"),
        (1e-6, "us"),
    )
    unit, name = next((u for u in units if seconds[1] >= 2 * u[0]), units[-1])
    low, high = (value / unit for value in seconds)
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f} to {high:,.{digits}f} {name}"


def changed(change: Mapping[str, Any]) -> str:
    """Spell a change as a spec would."""
    return " and ".join(f"{path}: {_value(path, new)}" for path, new in change.items())


def _value(path: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if path in QUANTITIES and isinstance(value, int):
        return write_quantity(QUANTITIES[path], value)
    return str(value)


def deviation(planned: int, measured: int) -> str:
    """Tell how far a plan is from what was measured."""
    return f"{planned / measured - 1:+.1%}"
