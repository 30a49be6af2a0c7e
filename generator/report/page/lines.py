"""Curves: perplexity over the ratio that was pruned, and losses over the steps of a training."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import Axis, axis_of, percent
from leangen.generator.report.page.compare import COLLAPSED, Curve
from leangen.generator.report.page.figures import NM, STRUCTURED, Sweep
from leangen.generator.report.page.labels import Box, along, around, place

HIGHEST = 16.0  # times the dense model's perplexity: what is worse stands at the edge
SMOOTH = 40  # points of a smoothed curve, at most
NEIGHBOURS = 8  # that are averaged, at least


def groups(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """Part the curves into those of single weights and those of whole rows, a chart each."""
    whole = [curve for curve in curves if curve.family == STRUCTURED]
    single = [curve for curve in curves if curve.family != STRUCTURED]
    parts = [("single weights", single), ("channels, heads and layers", whole)]
    return [part for part in parts if any(len(curve.points) > 1 for curve in part[1])]


def collapse(sweep: Sweep, curves: Sequence[Curve], frame: svg.Frame) -> list[Markup]:
    """Draw perplexity, beside the dense model's of the same bits, over the share pruned."""
    x = Axis(
        0,
        max(p[0] for curve in curves for p in curve.points) + 0.05,
        False,
        *frame.across,
    )
    ratios = [1.0, *(p[2].ratio for curve in curves for p in curve.points), COLLAPSED]
    y = axis_of([min(ratio, HIGHEST) for ratio in ratios], *frame.up, log=True)
    parts = [
        svg.vertical(y, frame, "perplexity, times dense of the same bits"),
        svg.horizontal(x, frame, "share of the weights pruned", percent),
        svg.line(
            frame.left, y.place(COLLAPSED), frame.across[1], y.place(COLLAPSED), "limit"
        ),
        svg.text(
            frame.left + 4, y.place(COLLAPSED) - 5, "twice the dense model's", "t"
        ),
    ]
    wanted: list[tuple[float, float, str]] = []
    taken, marks = [], []
    for curve in sorted(curves, key=lambda curve: curve.recovered):
        points = [
            (x.place(ratio), y.place(lost.ratio)) for ratio, _, lost in curve.points
        ]
        rows = [row for _, row, _ in curve.points]
        if curve.family == NM:
            wanted += [(*at, row.pattern) for at, row in zip(points, rows, strict=True)]
        else:
            wanted.append((*points[-1], _named(curve)))
            whole = [(x.place(0), y.place(1)), *points]
            dash = "" if curve.recovered else " dash"
            kind = f"curve {svg.SHORT[curve.family]}{dash}"
            parts.append(svg.polyline(whole, kind))
            taken += list(along(whole))
        marks += [
            svg.mark(row, *at, sweep.rows.index(row))
            for row, at in zip(rows, points, strict=True)
        ]
        taken += [around(*at) for at in points]
    room = Box(frame.left, frame.top - 8, frame.width, frame.height - frame.bottom)
    return [*parts, *marks, svg.labels(place(wanted, taken, room))]


def _named(curve: Curve) -> str:
    recovered = "recovered" if curve.recovered else ""
    return ", ".join(filter(None, [curve.method, recovered])) or curve.family


def losses(
    series: Mapping[str, Sequence[tuple[float, float]]], frame: svg.Frame
) -> list[Markup]:
    """Draw the losses of a training: of its steps, and on text that it does not see."""
    steps, seen = series.get("loss", ()), series.get("val", ())
    values = [value for _, value in (*steps, *seen)]
    x = Axis(0, max(1.0, *(step for step, _ in (*steps, *seen))), False, *frame.across)
    y = axis_of(values, *frame.up, log=False)

    def at(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x.place(step), y.place(value)) for step, value in points]

    parts = [
        svg.vertical(y, frame, "loss, nats a token"),
        svg.horizontal(x, frame, "step"),
    ]
    wanted, taken = [], []
    for kind, points, name in (
        ("step", steps, ""),
        ("smooth", smoothed(steps), "steps"),
        ("val", seen, "validation"),
    ):
        if points:
            parts.append(svg.polyline(at(points), f"curve {kind}"))
            taken += list(along(at(points)))
        if points and name:
            wanted.append((*at(points)[-1], f"{name} {points[-1][1]:.3f}"))
    room = Box(frame.left, frame.top - 8, frame.width, frame.height - frame.bottom)
    return [*parts, svg.labels(place(wanted, taken, room))]


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average neighbours, so that few are left."""
    count = max(1, min(SMOOTH, len(points) // NEIGHBOURS))
    edges = [round(number * len(points) / count) for number in range(count + 1)]
    pieces = [points[a:b] for a, b in pairwise(edges) if b > a]
    return [
        (fmean(step for step, _ in p), fmean(value for _, value in p)) for p in pieces
    ]
