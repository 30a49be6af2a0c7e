"""Whether variants lose more on other text than on the test text, beside the dense model."""

from math import exp

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import axis_of
from leangen.generator.report.page.compare import FAR, Difference, away, difference
from leangen.generator.report.page.figures import DENSE, Row, Sweep

HIGHEST = 16.0  # times the dense model's perplexity: what is worse stands at the edge
WORST = 4.0  # times the dense model's ratio of the two texts, likewise
OTHERS = {
    "out_of_sample": "out of sample",
    "train": "on the training text",
    "val": "on the validation text",
}


def at_home(sweep: Sweep, other: str) -> list[tuple[Row, float, Difference]]:
    """List what each row's perplexity is of the dense one's, and what more on another text."""
    dense = sweep.baseline
    if dense is None:
        return []
    found = []
    for row in sweep.done:
        here, there = difference(sweep, row, dense), away(sweep, row, other)
        if here and there:
            found.append((row, here.ratio, there))
    return found if len(found) > 1 else []


def home(sweep: Sweep, other: str, frame: svg.Frame) -> list[Markup]:
    """Draw how much more each variant loses elsewhere, over what it loses at home."""
    found = at_home(sweep, other)
    x = axis_of(
        [1.0, *(min(here, HIGHEST) for _, here, _ in found)], *frame.across, log=True
    )
    y = axis_of(
        [1.0, *(_held(there.ratio) for *_, there in found)], *frame.up, log=True
    )
    name = f"perplexity {OTHERS[other]} / test, times dense's"
    same = y.place(1)
    parts = [
        svg.vertical(y, frame, name),
        svg.horizontal(x, frame, "perplexity on the test text, times dense's"),
        svg.line(frame.left, same, frame.across[1], same, "limit"),
    ]
    order = sorted(found, key=lambda each: each[0].family == DENSE)
    ranges = []
    for row, here, there in order:
        if there.margin and not row.baseline:
            low, high = (
                y.place(_held(exp(min(max(there.nats + m, -FAR), FAR))))
                for m in (-there.margin, there.margin)
            )
            ranges.append((x.place(here), low, x.place(here), high))
    parts.append(svg.lines(ranges, "range"))
    for row, here, there in order:
        parts.append(
            svg.mark(row, x.place(here), y.place(there.ratio), sweep.rows.index(row))
        )
    return parts


def _held(ratio: float) -> float:
    """Keep a ratio where it is worth telling apart."""
    return min(max(ratio, 1 / WORST), WORST)
