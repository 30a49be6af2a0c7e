"""Direct labels: each beside its mark, on nothing else."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

LETTER = 7.2  # pixels a letter, at 12 pixels, bold
LINE = 14
REACH = (13, 22, 34, 48, 64)  # pixels between a mark and its label
STRIDE = 8  # pixels between the boxes along a line
STEPS = 16  # directions around a mark


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Give the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0


@dataclass(frozen=True)
class Label:
    """A text in its box, and the mark that it speaks of."""

    text: str
    box: Box
    mark: tuple[float, float]

    @property
    def leads(self) -> bool:
        """Whether it is so far off that a line has to lead to it."""
        x, y = self.mark
        near = Box(x - 20, y - 20, x + 20, y + 20)
        return near.overlap(self.box) == 0


def around(x: float, y: float, half: float = 8) -> Box:
    """Give the box of a mark."""
    return Box(x - half, y - half, x + half, y + half)


def along(points: Sequence[tuple[float, float]]) -> Iterator[Box]:
    """Give the boxes of a line: what is written there would be struck through."""
    for (x1, y1), (x2, y2) in pairwise(points):
        steps = 1 + int(math.dist((x1, y1), (x2, y2)) / STRIDE)
        for step in range(steps):
            share = step / steps
            yield around(x1 + share * (x2 - x1), y1 + share * (y2 - y1), half=3)


def place(
    wanted: Sequence[tuple[float, float, str]], marks: Sequence[Box], room: Box
) -> list[Label]:
    """Place the labels of some marks one after the other, each where least is under it."""
    taken = list(marks)
    placed = []
    for x, y, text in wanted:
        best = _best(x, y, text, taken, room)
        if best:
            placed.append(Label(text, best, (x, y)))
            taken.append(best)
    return placed


def _best(x: float, y: float, text: str, taken: Sequence[Box], room: Box) -> Box | None:
    """Find the nearest box with nothing under it, or else the one with the least."""
    width = LETTER * len(text) + 2
    reach = REACH[-1] + width
    near = [box for box in taken if box.overlap(around(x, y, reach))]
    found: list[tuple[float, float, Box]] = []
    for far in REACH:
        for box in _candidates(x, y, width, far):
            if _inside(box, room):
                middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
                covered = sum(box.overlap(other) for other in near)
                found.append((covered, math.dist(middle, (x, y)), box))
        if found and min(found, key=lambda each: each[:2])[0] == 0:
            break
    return min(found, key=lambda each: each[:2])[2] if found else None


def _candidates(x: float, y: float, width: float, reach: float) -> Iterator[Box]:
    """Go around a mark."""
    for step in range(STEPS):
        angle = 2 * math.pi * step / STEPS
        across, down = math.cos(angle), math.sin(angle)
        left = x + across * reach - width * (1 - across) / 2
        top = y + down * reach - LINE * (1 - down) / 2
        yield Box(left, top, left + width, top + LINE)


def on_line(y: float, text: str, taken: Sequence[Box], room: Box) -> Box:
    """Find the place along a line across a chart where least is under a text above it."""
    width = LETTER * len(text)
    free = max(room.right - room.left - width, 0)
    lefts = [room.left + free * number / STEPS for number in range(STEPS, -1, -1)]
    boxes = [Box(left, y - LINE - 1, left + width, y - 1) for left in lefts]
    return min(boxes, key=lambda box: sum(box.overlap(other) for other in taken))


def _inside(box: Box, room: Box) -> bool:
    return (
        box.left >= room.left
        and box.right <= room.right
        and (box.top >= room.top and box.bottom <= room.bottom)
    )
