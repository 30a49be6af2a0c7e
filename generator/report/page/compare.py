"""What a sweep's figures say beside each other: the front, equal bytes, collapse, home ground.

Quality is compared in nats a token: by the losses' differences from the same dense model,
which have errors; by the perplexities, without, where there are none. The errors of two
variants are added up, as if they were against each other.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leangen.generator.report.page.figures import DENSE, NM, SURE, Row, Sweep

EQUAL = 0.05  # sizes that differ by less than this share are equal
FAR = 100.0  # nats: more is no figure any more
COLLAPSED = 2.0  # times the perplexity of the dense model of the same bits


@dataclass(frozen=True)
class Difference:
    """By how much a variant loses more than another, in nats; margin: of 95 percent, if known."""

    nats: float
    margin: float | None

    @property
    def sure(self) -> bool:
        """Whether it is more than its margin."""
        return self.margin is not None and abs(self.nats) > self.margin

    @property
    def ratio(self) -> float:
        """Give it as the ratio of the perplexities."""
        return math.exp(min(max(self.nats, -FAR), FAR))


@dataclass(frozen=True)
class Pair:
    """A dense model and a pruned one of equal bytes, and how much more the pruned one loses."""

    dense: Row
    pruned: Row
    difference: Difference


@dataclass(frozen=True)
class Curve:
    """The same pruning at one ratio after the other, from the dense model of the same bits."""

    family: str
    method: str
    bits: int | None
    recovered: bool
    points: tuple[tuple[float, Row, Difference], ...]

    @property
    def holds(self) -> float | None:
        """Give the largest ratio up to which perplexity surely stays below COLLAPSED times."""
        held = None
        for ratio, _, difference in self.points:
            if difference.nats + (difference.margin or 0) >= math.log(COLLAPSED):
                break
            held = ratio
        return held

    @property
    def fails(self) -> float | None:
        """Give the smallest ratio at which it surely is above."""
        failing = (
            ratio
            for ratio, _, difference in self.points
            if difference.nats - (difference.margin or 0) > math.log(COLLAPSED)
        )
        return next(failing, None)


def front(rows: Iterable[Row], x: str, y: str, more_x: bool, more_y: bool) -> list[Row]:
    """List the rows that no other beats in both figures, from the best x on.

    more: whether more of a figure is better.
    """
    known = [
        ((-a if more_x else a), (-b if more_y else b), row)
        for row in rows
        if (a := row.value(x)) is not None and (b := row.value(y)) is not None
    ]
    found: list[Row] = []
    best = math.inf
    for _, other, row in sorted(known, key=lambda each: each[:2]):
        if other < best:
            found.append(row)
            best = other
    return found


def difference(
    sweep: Sweep, row: Row, beside: Row, text: str = "test"
) -> Difference | None:
    """Tell by how much a row loses more on a text than another does."""
    lost, other_lost = (_loss(sweep, each, text) for each in (row, beside))
    if lost and other_lost:
        return Difference(lost[0] - other_lost[0], lost[1] + other_lost[1])
    mine, other = (each.value(f"perplexity_{text}") for each in (row, beside))
    if mine is None or other is None:
        return None
    return Difference(math.log(mine / other), None)


def _loss(sweep: Sweep, row: Row, text: str) -> tuple[float, float] | None:
    """Give what a row loses more than the dense model, and its margin: errors, and repeats."""
    if not sweep.paired:
        return None
    loss = row.figures.get(f"loss_difference_{text}")
    error = row.figures.get(f"loss_difference_error_{text}")
    if not loss or not error:
        return (0.0, 0.0) if row is sweep.baseline else None
    return loss.mean, SURE * error.high + (loss.high - loss.low) / 2


def pairs(sweep: Sweep) -> list[Pair]:
    """Set each dense model beside the best pruned one of its size, of each kind of pattern."""
    found: list[Pair] = []
    for dense in sweep.done:
        size = dense.value("file_bytes")
        if dense.family != DENSE or size is None:
            continue
        best: dict[str, Pair] = {}
        for row in sweep.done:
            other = row.value("file_bytes")
            if row.family == DENSE or other is None or abs(other / size - 1) > EQUAL:
                continue
            lost = difference(sweep, row, dense)
            known = best.get(row.family)
            if lost and (known is None or lost.nats < known.difference.nats):
                best[row.family] = Pair(dense, row, lost)
        found += best.values()
    return found


def curves(sweep: Sweep) -> list[Curve]:
    """Follow each way of pruning over its ratios, at the most bits that have several.

    Groups of N:M join as curves of one point, where anything was pruned so.
    """
    groups: dict[tuple[str, str, int | None, bool], list[Row]] = {}
    for row in sweep.done:
        if row.family != DENSE:
            key = (row.family, row.method, row.bits, row.recovered)
            groups.setdefault(key, []).append(row)
    found = [
        curve for key, rows in groups.items() if (curve := _curve(sweep, key, rows))
    ]
    return [
        curve
        for curve in found
        if (curve.bits or 0)
        == max(
            other.bits or 0
            for other in found
            if (other.family, other.method) == (curve.family, curve.method)
        )
    ]


def _curve(
    sweep: Sweep, key: tuple[str, str, int | None, bool], rows: Sequence[Row]
) -> Curve | None:
    family, method, bits, recovered = key
    dense = sweep.dense(bits) or sweep.baseline
    if dense is None:
        return None
    points = [
        (row.ratio, row, lost)
        for row in sorted(rows, key=lambda row: row.ratio)
        if (lost := difference(sweep, row, dense))
    ]
    if len({ratio for ratio, *_ in points}) < (1 if family == NM else 2):
        return None
    return Curve(family, method, bits, recovered, tuple(points))


def away(sweep: Sweep, row: Row, text: str = "out_of_sample") -> Difference | None:
    """Tell how much more a row loses than the dense one on a text, beyond what it does on the test."""
    dense = sweep.baseline
    if dense is None:
        return None
    there, here = difference(sweep, row, dense, text), difference(sweep, row, dense)
    if there is None or here is None:
        return None
    if there.margin is None or here.margin is None:
        return Difference(there.nats - here.nats, None)
    return Difference(there.nats - here.nats, there.margin + here.margin)


def faster(row: Row, beside: Row, speed: str) -> tuple[float, bool | None] | None:
    """Give the ratio of two speeds, and whether their ranges, if known, are apart."""
    mine, other = row.figures.get(speed), beside.figures.get(speed)
    if not mine or not other:
        return None
    ranged = mine.low < mine.high and other.low < other.high
    apart = mine.low > other.high or mine.high < other.low
    return mine.mean / other.mean, apart if ranged else None
