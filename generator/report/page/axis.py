"""Axes: from figures to pixels, with ticks that read well."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from leangen.generator.report.units import size

LOG_FROM = 2.5  # an axis is logarithmic where its ends are further apart than that
ROOM = 0.06  # of an axis, left beyond what it shows
STEPS = (
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
)


@dataclass(frozen=True)
class Axis:
    """Figures from `low` to `high` on pixels from `start` to `end`; others go to the ends.

    unit: what ticks are round in.
    """

    low: float
    high: float
    log: bool
    start: float
    end: float
    unit: float = 1

    def place(self, value: float) -> float:
        """Give the pixel of a figure."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Tell whether a figure is within the axis."""
        return self.low <= value <= self.high

    def ticks(self, most: int) -> list[float]:
        """Choose round figures along the axis."""
        whole = replace(self, low=self.low / self.unit, high=self.high / self.unit)
        wide = self.log and self.high > LOG_FROM * self.low
        found = whole._log_ticks(most) if wide else whole._linear_ticks(most)
        return [tick * self.unit for tick in found]

    def write(self, tick: float) -> str:
        """Write a tick, in the axis' unit: no digit more than it needs."""
        value = tick / self.unit
        return f"{value:,.6g}" if abs(value) < 1e7 else f"{value:.0e}"

    def _linear_ticks(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        power = 10 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        powers = range(
            math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
        )
        tens = [10.0**p for p in powers if self.holds(10.0**p)]
        choices = [tens[:: math.ceil(len(tens) / most)]] if len(tens) > 1 else []
        for steps in STEPS:
            choices.append(
                [v for p in powers for s in steps if self.holds(v := s * 10.0**p)]
            )
        fitting = [choice for choice in choices if len(choice) <= most]
        return max(fitting, key=len, default=[])


def axis_of(
    values: Iterable[float], start: float, end: float, log: bool | None = None
) -> Axis:
    """Lay an axis over figures; logarithmic, unless said, where they are far apart."""
    listed = list(values)
    low, high = min(listed), max(listed)
    if log is None:
        log = low > 0 and high > LOG_FROM * low
    if log:
        beyond = max(high / low, 1.2) ** ROOM
        return Axis(low / beyond, high * beyond, log, start, end)
    beyond = ROOM * (high - low or abs(high) or 1.0)
    return Axis(low - beyond, high + beyond, log, start, end)


def figure(value: float) -> str:
    """Write a figure with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.1e}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(digits, 6)}f}"


def percent(value: float) -> str:
    """Write a share; no line ends before its sign."""
    return f"{value * 100:.3g}\N{NO-BREAK SPACE}%"


def in_bytes(value: float) -> str:
    """Write a number of bytes."""
    return size(round(value))


def unit_of(values: Iterable[float]) -> tuple[float, str]:
    """Choose the unit of bytes in which an axis is labelled."""
    most = max(values)
    units = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
    return next((unit for unit in units if most >= 1.5 * unit[0]), (1, "bytes"))
