"""Curves: perplexity over the ratio that was pruned, and losses over the steps of a training."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import Axis, axis_of, percent
from leangen.generator.report.page.compare import COLLAPSED, Curve
from leangen.generator.report.page.figures import NM, STRUCTURED, Row, Sweep
from leangen.generator.report.page.labels import Box, around, place

HIGHEST = 16.0  # times the dense model's perplexity: what is worse stands at the edge
Losses = Mapping[str, Sequence[tuple[float, float]]]  # by name: steps and losses


def groups(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """Part the curves into those of single weights and those of whole rows, a chart each."""
    whole = [curve for curve in curves if curve.family == STRUCTURED]
    single = [curve for curve in curves if curve.family != STRUCTURED]
    parts = [("single weights", single), ("channels, heads and layers", whole)]
    return [part for part in parts if any(len(curve.points) > 1 for curve in part[1])]


def collapse(sweep: Sweep, curves: Sequence[Curve], frame: svg.Frame) -> list[Markup]:
    """Draw perplexity, beside the dense model's of the same bits, over the share pruned."""
    x = Axis(0, max(p[0] for curve in curves for p in curve.points) + 0.05, False, *frame.across)
    ratios = [1.0, *(p[2].ratio for curve in curves for p in curve.points), COLLAPSED]
    y = axis_of([min(ratio, HIGHEST) for ratio in ratios], *frame.up, log=True)
    parts = [
        svg.vertical(y, frame, "perplexity, times that of the dense model of the same bits"),
        svg.horizontal(x, frame, "share of the weights pruned", percent),
        svg.line(frame.left, y.place(COLLAPSED), frame.across[1], y.place(COLLAPSED), "limit"),
        svg.text(frame.left + 4, y.place(COLLAPSED) - 5, "twice the dense model's", "t"),
    ]
    marks: list[tuple[Row, float, float]] = []
    wanted = []
    for curve in sorted(curves, key=lambda curve: curve.recovered):
        points = [(x.place(ratio), y.place(lost.ratio)) for ratio, _, lost in curve.points]
        kind = f"curve {svg.SHORT[curve.family]}{'' if curve.recovered else ' dash'}"
        if curve.family != NM:
            start = (x.place(0), y.place(1))
            parts.append(svg.polyline([start, *points], kind))
            wanted.append((*points[-1], _named(curve)))
        else:
            wanted += [(*at, row.pattern) for at, (_, row, _) in zip(points, curve.points, strict=True)]
        marks += [(row, *at) for at, (_, row, _) in zip(points, curve.points, strict=True)]
    parts += [svg.mark(row, *at, sweep.rows.index(row)) for row, *at in marks]
    room = Box(frame.left, frame.top - 8, frame.width, frame.height - frame.bottom)
    parts.append(svg.labels(place(wanted, [around(*at) for _, *at in marks], room)))
    return parts


def _named(curve: Curve) -> str:
    recovered = "with recovery" if curve.recovered else "without"
    return ", ".join(filter(None, [curve.method, recovered]))


def losses(found: Losses, frame: svg.Frame) -> list[Markup]:
    """Draw the losses of a training: of its steps, and on text that it does not see."""
    everything = [point for points in found.values() for point in points]
    x = Axis(0, max(1.0, *(step for step, _ in everything)), False, *frame.across)
    y = axis_of([loss for _, loss in everything], *frame.up, log=False)
    parts = [
        svg.vertical(y, frame, "loss, nats a token"),
        svg.horizontal(x, frame, "step"),
    ]
    for kind, (name, points) in zip(("step", "smooth", "val"), found.items(), strict=False):
        pixels = [(x.place(step), y.place(loss)) for step, loss in points]
        parts.append(svg.polyline(pixels, f"curve {kind}"))
        if kind == "val":
            parts += [svg.text(px, py + 3, "●", "dot m") for px, py in pixels]
        if kind != "step":
            parts += _end(name, points, pixels, frame, above=kind == "val")
    return parts


def _end(
    name: str,
    points: Sequence[tuple[float, float]],
    pixels: Sequence[tuple[float, float]],
    frame: svg.Frame,
    above: bool,
) -> Iterator[Markup]:
    x, y = pixels[-1]
    yield svg.text(x, y - 10 if above else y + 18, f"{name} {points[-1][1]:.3f}", "l e")


def smoothed(points: Sequence[tuple[float, float]], parts: int = 40) -> list[tuple[float, float]]:
    """Average neighbours, so that so many are left."""
    edges = [round(number * len(points) / parts) for number in range(parts + 1)]
    pieces = [points[a:b] for a, b in pairwise(edges) if b > a]
    return [(_mean([s for s, _ in p]), _mean([v for _, v in p])) for p in pieces]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
