"""What a chart is drawn with. Texts are escaped by construction: markupsafe formats them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from leangen.generator.report.page.axis import Axis
from leangen.generator.report.page.figures import (
    DENSE,
    FAMILIES,
    NM,
    STRUCTURED,
    UNSTRUCTURED,
    Row,
)
from leangen.generator.report.page.labels import Label

LINE = Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>')
TEXT = Markup('<text x="{}" y="{}" class="{}">{}</text>')
PATH = Markup('<path d="{}" class="{}"/>')
MARK = Markup('<use href="#{}" x="{}" y="{}"{}/>')
OUTLINE = {  # around 0 0, of about the same area
    DENSE: Markup('<circle r="7.5" class="{}"/>'),
    NM: Markup('<path d="M-6.8-6.8H6.8V6.8H-6.8Z" class="{}"/>'),
    UNSTRUCTURED: Markup('<path d="M0-9.4 9.2 6.6H-9.2Z" class="{}"/>'),
    STRUCTURED: Markup('<path d="M0-9.6 9.6 0 0 9.6-9.6 0Z" class="{}"/>'),
}
Write = Callable[[float], str]
SHORT = dict(zip(FAMILIES, "dnus", strict=True))  # of ids and classes


@dataclass(frozen=True)
class Frame:
    """The pixels of a chart, and those of its axes within."""

    width: float
    height: float
    left: float = 46
    right: float = 14
    top: float = 42
    bottom: float = 42

    @property
    def across(self) -> tuple[float, float]:
        """Give the ends of the horizontal axis."""
        return self.left, self.width - self.right

    @property
    def up(self) -> tuple[float, float]:
        """Give the ends of the vertical axis, from the bottom."""
        return self.height - self.bottom, self.top


def px(value: float) -> str:
    """Write a number of pixels."""
    return f"{value:.1f}".removesuffix(".0")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Draw a straight line."""
    return LINE.format(px(x1), px(y1), px(x2), px(y2), kind)


def lines(ends: Iterable[tuple[float, float, float, float]], kind: str) -> Markup:
    """Draw straight lines as one path."""
    parts = (f"M{px(x1)} {px(y1)}L{px(x2)} {px(y2)}" for x1, y1, x2, y2 in ends)
    return PATH.format("".join(parts), kind)


def text(x: float, y: float, words: str, kind: str = "") -> Markup:
    """Write a text."""
    return TEXT.format(px(x), px(y), kind, words)


def polyline(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Draw a line through points."""
    return PATH.format("M" + " ".join(f"{px(x)},{px(y)}" for x, y in points), kind)


def symbol(row: Row) -> str:
    """Name the symbol of a variant: its pattern, its bits, and whether it is filled."""
    hollow = row.family != DENSE and not row.recovered
    return f"{SHORT[row.family]}{row.bits or 0}{'h' if hollow else ''}"


def symbols(rows: Iterable[Row]) -> Markup:
    """Define the symbols that some variants have."""
    kinds = {symbol(row): row for row in rows}
    return Markup("<defs>{}</defs>").format(
        Markup("").join(map(_symbol, kinds.values()))
    )


def _symbol(row: Row) -> Markup:
    name = symbol(row)
    kind = f"{SHORT[row.family]}{' h' if name.endswith('h') else ''}"
    low = 5 if row.family == UNSTRUCTURED else 3.2
    digits = text(0, low, str(row.bits), f"in {kind}") if row.bits else ""
    return Markup('<g id="{}">{}{}</g>').format(
        name, OUTLINE[row.family].format(kind), digits
    )


def mark(row: Row, x: float, y: float, number: int | None = None) -> Markup:
    """Draw a variant; number: its place among the rows, where a reader may ask about it."""
    asked = "" if number is None else Markup(' data-v="{}"').format(number)
    return MARK.format(symbol(row), px(x), px(y), asked)


def horizontal(
    axis: Axis, frame: Frame, words: str, write: Write | None = None
) -> Markup:
    """Draw an axis along the bottom, its name under it."""
    write = write or axis.write
    (left, right), (bottom, _) = frame.across, frame.up
    ticks = axis.ticks(max(2, int((axis.end - axis.start) / 58)))
    drawn = "".join(f"M{px(axis.place(tick))} {px(bottom)}v4" for tick in ticks)
    parts = [PATH.format(f"M{px(left)} {px(bottom)}H{px(right)}{drawn}", "axis")]
    parts += [text(axis.place(tick), bottom + 17, write(tick), "t m") for tick in ticks]
    return Markup("").join([*parts, text(axis.end, bottom + 34, words, "w e")])


def vertical(
    axis: Axis, frame: Frame, words: str, write: Write | None = None
) -> Markup:
    """Draw an axis along the left with lines across, its name above it."""
    write = write or axis.write
    left, right = frame.across
    ticks = axis.ticks(max(2, int((axis.start - axis.end) / 42)))
    drawn = "".join(f"M{px(left)} {px(axis.place(tick))}H{px(right)}" for tick in ticks)
    parts = [PATH.format(drawn, "grid")]
    parts += [
        text(left - 7, axis.place(tick) + 4, write(tick), "t e") for tick in ticks
    ]
    return Markup("").join([*parts, text(0, 12, words, "w")])


def labels(placed: Sequence[Label], kind: str = "l") -> Markup:
    """Write direct labels, with lines to those that are further off."""
    parts = []
    for label in placed:
        box, (x, y) = label.box, label.mark
        if label.leads:
            nearest = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
            parts.append(line(x, y, *nearest, "lead"))
    parts += [
        text(label.box.left + 1, label.box.bottom - 3, label.text, kind)
        for label in placed
    ]
    return Markup("").join(parts)


def svg(
    frame: Frame, parts: Iterable[Markup], kind: str, attributes: str | Markup = ""
) -> Markup:
    """Close a chart for a page."""
    return Markup('<svg viewBox="0 0 {} {}" class="{}"{}>{}</svg>').format(
        px(frame.width), px(frame.height), kind, attributes, Markup("").join(parts)
    )
