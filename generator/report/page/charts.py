"""The charts of a sweep: each for a wide screen, for a narrow one, and as a file of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.compare import curves, pairs
from leangen.generator.report.page.figures import DENSE, FAMILIES, Row, Sweep
from leangen.generator.report.page.home import OTHERS, at_home, home
from leangen.generator.report.page.lines import collapse, groups
from leangen.generator.report.page.palette import standing_alone
from leangen.generator.report.page.scatter import (
    FILE,
    PERPLEXITY,
    SPEED,
    View,
    scatter,
    views,
)

WIDE, NARROW = 760, 360  # pixels
TALLEST = 370  # on a narrow screen
LETTER = 6.6  # of a legend
Draw = Callable[[svg.Frame, bool], list[Markup]]  # brief: with short labels
Item = tuple[Markup, str]  # of a legend: a mark around 0 0, and what it means


@dataclass(frozen=True)
class Chart:
    """A chart that is drawn for a frame."""

    key: str
    title: str
    draw: Draw
    height: float = 440
    width: float = WIDE

    @property
    def on_page(self) -> Markup:
        """Draw it for both widths of screens."""
        told = Markup(' role="group" aria-label="{}"').format(self.title)
        wide = svg.Frame(self.width, self.height)
        narrow = svg.Frame(NARROW, min(self.height, TALLEST), left=40, right=12)
        return svg.svg(wide, self.draw(wide, False), "wide", told) + svg.svg(
            narrow, self.draw(narrow, True), "narrow", told
        )


def front_charts(sweep: Sweep) -> list[tuple[View, Chart]]:
    """List the charts among which the page's switches choose."""
    joined = pairs(sweep)

    def chart(view: View) -> Chart:
        title = f"{view.y.words}, by {view.x.words}"
        return Chart(
            view.key,
            title,
            lambda frame, brief: scatter(sweep, view, joined, frame, brief),
        )

    return [(view, chart(view)) for view in views(sweep)]


def collapse_charts(sweep: Sweep) -> list[Chart]:
    """Draw a chart for single weights that were pruned, and one for whole rows."""
    parts = groups(curves(sweep))
    return [
        Chart(
            f"collapse-{number}",
            f"perplexity over the share pruned: {name}",
            lambda frame, _, chosen=chosen: collapse(sweep, chosen, frame),  # type: ignore[misc]
            340,
            WIDE / len(parts) - 10 if len(parts) > 1 else WIDE,
        )
        for number, (name, chosen) in enumerate(parts)
    ]


def home_charts(sweep: Sweep) -> list[Chart]:
    """Draw a chart for each other text that was measured on."""
    found = [other for other in OTHERS if at_home(sweep, other)]
    return [
        Chart(
            f"home-{other}",
            f"how much more each variant loses {OTHERS[other]} than on the test text",
            lambda frame, _, other=other: home(sweep, other, frame),  # type: ignore[misc]
            370,
            WIDE / 2 - 10,
        )
        for other in found
    ]


def legend(sweep: Sweep) -> list[Item]:
    """Explain the marks that are there."""
    done = sweep.done
    items = [
        (svg.OUTLINE[family].format(svg.SHORT[family]), family)
        for family in FAMILIES
        if any(row.family == family for row in done)
    ]
    hollow = {row.recovered for row in done if row.family != DENSE}
    if hollow == {True, False}:
        kind = next(
            row.family for row in done if row.family != DENSE and not row.recovered
        )
        items.append(
            (
                svg.OUTLINE[kind].format(f"{svg.SHORT[kind]} h"),
                "hollow: without recovery",
            )
        )
    if any(row.bits for row in done):
        items.append((svg.text(0, 3.2, "8", "w m"), "in a mark: bits of the weights"))
    items.append((svg.line(-8, 0, 8, 0, "front"), "front: no other is better in both"))
    if pairs(sweep):
        items.append((svg.line(-8, 0, 8, 0, "pair"), "equal bytes"))
    return items


def alone(
    name: str, chart: Chart, rows: Iterable[Row], items: Sequence[Item]
) -> Markup:
    """Draw a chart as a file of its own: with its title, its legend and its style."""
    title = f"{name}: {chart.title}"
    frame = svg.Frame(WIDE, chart.height)
    placed = list(_legend_rows(items))
    height = 34 + chart.height + 22 * len({y for *_, y in placed}) + 12
    parts = [
        Markup("<title>{}</title><style>{}</style>").format(
            title, Markup(standing_alone())
        ),
        svg.symbols(rows),
        Markup('<rect width="100%" height="100%" class="paper"/>'),
        svg.text(10, 26, title, "head"),
        Markup('<g transform="translate(10 40)">{}</g>').format(
            Markup("").join(chart.draw(frame, False))
        ),
    ]
    for drawn, words, x, y in placed:
        across, down = svg.px(x + 10), svg.px(chart.height + 54 + y)
        parts.append(
            Markup('<g transform="translate({} {})">{}{}</g>').format(
                across, down, drawn, svg.text(14, 4, words)
            )
        )
    size = Markup(
        ' xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" role="img"'
    ).format(WIDE + 20, svg.px(height))
    return svg.svg(svg.Frame(WIDE + 20, height), parts, "chart", size)


def _legend_rows(items: Sequence[Item]) -> Iterator[tuple[Markup, str, float, float]]:
    """Set the items of a legend in rows."""
    x, y = 14.0, 0.0
    for drawn, words in items:
        width = 34 + LETTER * len(words)
        if x + width > WIDE and x > 14:
            x, y = 14.0, y + 22
        yield drawn, words, x, y
        x += width


def pictures(sweep: Sweep) -> dict[str, Markup]:
    """Draw what a README shows, by the names of the files."""
    items = legend(sweep)
    simple = [item for item in items if item[1] not in ("equal bytes",)]
    shown = {view.key: chart for view, chart in front_charts(sweep)}
    chosen = {"bytes": View(FILE, PERPLEXITY), "speed": View(SPEED, PERPLEXITY)}
    found = {
        name: alone(
            sweep.name,
            shown[view.key],
            sweep.done,
            items if name == "bytes" else simple,
        )
        for name, view in chosen.items()
        if view.key in shown
    }
    plain = [item for item in simple if not item[1].startswith("front")]
    for name, charts in (
        ("collapse", collapse_charts(sweep)),
        ("home", home_charts(sweep)),
    ):
        for number, chart in enumerate(charts):
            found[name if number == 0 else f"{name}-{number + 1}"] = alone(
                sweep.name, chart, sweep.done, plain
            )
    return found
