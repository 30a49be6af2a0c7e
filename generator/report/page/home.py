"""Each variant on the text that it comes from, and on text from elsewhere."""

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import axis_of
from leangen.generator.report.page.compare import difference
from leangen.generator.report.page.figures import DENSE, Row, Sweep

WORST = 4.0  # times the dense model's perplexity: what is worse stands at the edge
OTHERS = {"out_of_sample": "out of sample", "train": "on the training text"}


def at_home(sweep: Sweep, other: str) -> list[tuple[Row, float, float]]:
    """List what each row's perplexities on the test text and another are of the dense one's."""
    dense = sweep.baseline
    if dense is None:
        return []
    found = []
    for row in sweep.done:
        here, there = difference(sweep, row, dense), difference(sweep, row, dense, other)
        if here and there:
            found.append((row, here.ratio, there.ratio))
    return found if len(found) > 1 else []


def home(sweep: Sweep, other: str, frame: svg.Frame) -> list[Markup]:
    """Draw the perplexities on two texts, both in those of the dense model, and the diagonal."""
    found = at_home(sweep, other)
    ends = [min(ratio, WORST) for _, *ratios in found for ratio in ratios]
    ends = [max(end, 1 / WORST) for end in ends]
    x, y = (axis_of(ends, *pixels, log=True) for pixels in (frame.across, frame.up))
    above = "above the line: loses more there than at home"
    parts = [
        svg.vertical(y, frame, f"perplexity {OTHERS[other]}, times dense"),
        svg.horizontal(x, frame, "perplexity on the test text, times dense"),
        svg.line(x.start, y.start, x.end, y.end, "limit"),
        svg.text(frame.left + 8, frame.top + 12, above, "t"),
    ]
    order = sorted(found, key=lambda each: each[0].family == DENSE)
    parts += [
        svg.mark(row, x.place(a), y.place(b), sweep.rows.index(row)) for row, a, b in order
    ]
    return parts
