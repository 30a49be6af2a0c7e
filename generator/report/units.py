"""Bytes, times and changes in words."""

from collections.abc import Mapping
from typing import Any

from leangen.generator.plan.rates import Seconds
from leangen.spec.text.scalars import write_quantity

Unit = tuple[float, str]

TIMES: tuple[Unit, ...] = (
    (86400, "days"),
    (3600, "h"),
    (60, "min"),
    (1, "s"),
    (1e-3, "ms"),
    (1e-6, "us"),
)
MANY = 1000  # of a unit of time: a larger one reads better
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


def duration(seconds: Seconds) -> str:
    """Write a range of seconds in one unit."""
    return _in_unit(seconds, _unit(seconds))


def each_of(stage: str) -> str:
    """Tell what a stage's time is of, where that is not the whole stage."""
    return " a token" if stage == "serve" else ""


def speed(each: Seconds) -> str:
    """Write how many fit into a second, of what takes a range of seconds each."""
    fastest, slowest = each
    return f"{1 / slowest:,.0f} to {1 / fastest:,.0f}"


def durations(before: Seconds, after: Seconds) -> tuple[str, str]:
    """Write two ranges, in one unit where neither is far too long for it."""
    units = {_unit(before), _unit(after)}
    size, name = min(units)
    if max(*before, *after) > MANY * size:
        return duration(before), duration(after)
    return _in_unit(before, (size, name)), _in_unit(after, (size, name))


def _unit(seconds: Seconds) -> Unit:
    """Choose the largest unit of which there are two."""
    return next((unit for unit in TIMES if seconds[1] >= 2 * unit[0]), TIMES[-1])


def _in_unit(seconds: Seconds, unit: Unit) -> str:
    low, high = (value / unit[0] for value in seconds)
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f} to {high:,.{digits}f} {unit[1]}"


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
