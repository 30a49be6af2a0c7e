"""Variants as points: quality by bytes and by speed, and away from home beside at home."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import (
    Axis,
    axis_of,
    figure,
    in_bytes,
    percent,
    unit_of,
)
from leangen.generator.report.page.compare import Pair, front
from leangen.generator.report.page.figures import DENSE, Row, Sweep
from leangen.generator.report.page.labels import Box, along, around, on_line, place

FAR = 4.0  # times the baseline's perplexity: what is worse stands at the edge
SPAN = 1.05  # of perplexities on an axis, at least: less is not worth a large picture
SEEN = 9  # pixels from the middle of a mark
BAND = 12  # pixels above the scale, where marks stand that do not fit on it
OTHERS = 10  # divergences: what is further off than so many medians stands there, too


@dataclass(frozen=True)
class Measure:
    """A figure that may be an axis. more: whether more of it is better."""

    figure: str
    words: str
    short: str
    more: bool


@dataclass(frozen=True)
class View:
    """One choice of axes."""

    x: Measure
    y: Measure

    @property
    def key(self) -> str:
        """Name it as the page's switches do."""
        return f"{self.x.figure}-{self.y.figure}"


FILE = Measure("file_bytes", "size of the exported files", "file size", False)
MEMORY = Measure("memory_bytes", "peak memory of the exported model", "memory", False)
SPEED = Measure("decode", "decoded tokens a second", "speed", True)
PERPLEXITY = Measure(
    "perplexity_test", "perplexity on the test text", "perplexity", False
)
KL = Measure(
    "kl_divergence_test",
    "KL divergence from the dense model, nats",
    "KL divergence",
    False,
)
SAME = Measure("same_top", "same top token as the dense model", "same top token", True)
QUALITIES = (PERPLEXITY, KL, SAME)


def views(sweep: Sweep) -> list[View]:
    """List the choices of axes for which at least two variants have figures."""
    found = [View(x, y) for x in (FILE, MEMORY, SPEED) for y in QUALITIES]
    found.append(View(FILE, SPEED))
    return [view for view in found if len(shown(sweep, view)) > 1]


def shown(sweep: Sweep, view: View) -> list[Row]:
    """List the rows that a choice of axes can show."""
    names = (view.x.figure, view.y.figure)
    return [row for row in sweep.done if None not in map(row.value, names)]


def front_of(sweep: Sweep, view: View) -> list[Row]:
    """List the rows that no other beats on both axes."""
    return front(sweep.done, view.x.figure, view.y.figure, view.x.more, view.y.more)


def scatter(
    sweep: Sweep,
    view: View,
    pairs: Sequence[Pair],
    frame: svg.Frame,
    brief: bool = False,
) -> list[Markup]:
    """Draw the variants on two axes; brief: labels of a word, for narrow screens."""
    rows = shown(sweep, view)
    axes = (
        _axis(sweep, view.x, rows, frame.across),
        _axis(sweep, view.y, rows, frame.up),
    )
    x, y = axes

    def at(row: Row) -> tuple[float, float]:
        across, up = _value(row, view.x), _value(row, view.y)
        return x.place(across), y.end - BAND if up > y.high else y.place(up)

    best = front_of(sweep, view)
    stairs = list(_stairs([at(row) for row in best]))
    joined = [
        (at(p.dense), at(p.pruned)) for p in pairs if _both(p, rows) and _by_size(view)
    ]
    order = sorted(rows, key=lambda row: (row in best, row.family == DENSE))
    wanted = [(*at(row), label(row, brief)) for row in best]
    taken = [around(*at(row)) for row in rows] + list(along(stairs))
    taken += [box for ends in joined for box in along(ends)]
    levels = [
        _level(y.place(value), words, taken, frame)
        for value, words in _levels(sweep, view, rows, brief)
        if y.holds(value)
    ]
    room = Box(frame.left, frame.top - 8, frame.width, frame.height - frame.bottom)
    return [
        svg.vertical(
            y, frame, _named(view.y, rows, brief), percent if view.y is SAME else None
        ),
        svg.horizontal(x, frame, _named(view.x, rows, brief)),
        *_beyond(view.y, y, rows, frame),
        *_budget(sweep, view, x, frame),
        *levels,
        svg.polyline(stairs, "front"),
        *(svg.line(*a, *b, "pair") for a, b in joined),
        _ranges([r for r in order if _value(r, view.y) <= y.high], view, x, y),
        *(svg.mark(row, *at(row), sweep.rows.index(row)) for row in order),
        svg.labels(place(wanted, taken, room)),
    ]


def _by_size(view: View) -> bool:
    """Tell whether equal bytes stand above each other, and quality is the other axis."""
    return view.x is FILE and view.y is not SPEED


def label(row: Row, brief: bool) -> str:
    """Name a variant beside its mark, which shows the rest."""
    named = row.pattern
    if row.ratio and ":" not in row.pattern:
        named = percent(row.ratio) if brief else f"{row.pattern} {percent(row.ratio)}"
    return named if brief or row.bits is None else f"{named}, {row.bits} bits"


def _value(row: Row, measure: Measure) -> float:
    found = row.value(measure.figure)
    assert found is not None  # shown lists none else
    return found


def _both(pair: Pair, rows: Sequence[Row]) -> bool:
    return pair.dense in rows and pair.pruned in rows


def _axis(
    sweep: Sweep, measure: Measure, rows: Sequence[Row], ends: tuple[float, float]
) -> Axis:
    """Lay an axis over what is worth telling apart; the rest stands at its edge."""
    values = [_value(row, measure) for row in rows]
    if measure is PERPLEXITY and sweep.baseline:
        dense = sweep.baseline.value(measure.figure) or values[0]
        values = [value for value in values if value <= FAR * dense] or values
        values = [dense, *values, min(values) * SPAN]
    if measure is KL:
        values = [value for value in values if value > 0] or [0.0]
        middle = sorted(values)[len(values) // 2]
        values = [value for value in values if value <= OTHERS * middle]
    axis = axis_of(values, *ends)
    in_units = measure.figure.endswith("bytes")
    return replace(axis, unit=unit_of(values)[0]) if in_units else axis


def _beyond(
    measure: Measure, axis: Axis, rows: Sequence[Row], frame: svg.Frame
) -> Iterator[Markup]:
    """Say of the marks above the scale that they belong further up."""
    beyond = [value for row in rows if (value := _value(row, measure)) > axis.high]
    if beyond:
        words = f"↑ {len(beyond)} above, up to {figure(max(beyond))}"
        yield svg.text(frame.across[1], 12, words, "t e")


def _budget(sweep: Sweep, view: View, axis: Axis, frame: svg.Frame) -> Iterator[Markup]:
    """Draw the budget, where memory is the axis and it is in sight."""
    budget = sweep.budget_bytes
    if budget is None or view.x is not MEMORY:
        return
    bottom, top = frame.up
    words = f"budget {in_bytes(budget)}"
    if axis.holds(budget):
        x = axis.place(budget)
        yield svg.line(x, top, x, bottom, "budget")
        yield svg.text(x - 5, bottom - 8, words, "t e")
    else:
        end = f"{words} →" if budget > axis.high else f"← {words}"
        yield svg.text(axis.end, bottom - 8, end, "t e")


def _levels(
    sweep: Sweep, view: View, rows: Sequence[Row], brief: bool
) -> Iterator[tuple[float, str]]:
    """List what perplexities are held against: the gate, and a dense model without a mark."""
    dense = sweep.baseline.value(view.y.figure) if sweep.baseline else None
    if view.y is PERPLEXITY and dense is not None:
        if sweep.gate:
            words = "gate" if brief else f"gate, {sweep.gate:g} times dense"
            yield sweep.gate * dense, words
        if sweep.baseline not in rows:
            yield dense, "dense, not rounded"


def _level(y: float, words: str, taken: list[Box], frame: svg.Frame) -> Markup:
    """Draw a line across, with its name where it covers least."""
    room = Box(frame.left, 0, frame.across[1], frame.height)
    box = on_line(y, words, taken, room)
    taken.append(box)
    line = svg.line(frame.left, y, frame.across[1], y, "limit")
    return line + svg.text(box.left + 2, box.bottom - 2, words, "t")


def _stairs(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Lead from each point of the front to the next as what is attainable does."""
    previous = None
    for x, y in points:
        if previous is not None:
            yield x, previous
        yield x, y
        previous = y


def _ranges(rows: Sequence[Row], view: View, x: Axis, y: Axis) -> Markup:
    """Draw the ranges of what was measured several times, where they show beside a mark."""
    ends: list[tuple[float, float, float, float]] = []
    for row in rows:
        across, up = row.figures[view.x.figure], row.figures[view.y.figure]
        a, b = x.place(across.mean), y.place(up.mean)
        left, right = x.place(across.low), x.place(across.high)
        low, high = y.place(up.low), y.place(up.high)
        if max(a - left, right - a) > SEEN:
            ends.append((left, b, right, b))
        if max(low - b, b - high) > SEEN:
            ends.append((a, low, a, high))
    return svg.lines(ends, "range")


def _named(measure: Measure, rows: Sequence[Row], brief: bool) -> str:
    """Name an axis, its unit, and which way is better."""
    words = measure.short if brief and measure is not SPEED else measure.words
    better = "more is better" if measure.more else "less is better"
    if not measure.figure.endswith("bytes"):
        return f"{words} ({better})"
    _, unit = unit_of([_value(row, measure) for row in rows])
    return f"{words}, {unit} ({better})"
