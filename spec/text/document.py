"""The tree of a spec file, whose values know their places."""

import re
from dataclasses import dataclass

from leangen.spec.errors import Diagnostic
from leangen.spec.text.scalars import Scalar
from leangen.spec.text.source import Place, Source

SHOWN = 40  # characters of a value that a message repeats

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Node:
    """One value of the file; `raw` is a scalar's text, `key` where its name stands."""

    place: Place
    value: "Scalar | dict[str, Node] | list[Node]"
    raw: str = ""
    key: Place | None = None

    @property
    def children(self) -> "dict[str | int, Node]":
        """The values inside, by name or index."""
        inside = self.value
        if isinstance(inside, dict):
            return {name: node for name, node in inside.items()}
        return dict(enumerate(inside)) if isinstance(inside, list) else {}

    @property
    def caret(self) -> Place:
        """What to point at: a value, or the name of a section or of nothing."""
        written = not isinstance(self.value, dict | list) and self.place.width > 0
        return self.place if written else self.key or self.place


@dataclass(frozen=True)
class Document:
    """A parsed file: its text, its tree, and what is wrong in it already."""

    source: Source
    root: Node
    problems: tuple[Diagnostic, ...] = ()

    def find(self, path: FieldPath) -> Node | None:
        """Find the node at a path, None where nothing is written."""
        node: Node | None = self.root
        for step in path:
            node = node.children.get(step) if node else None
        return node

    def nearest(self, path: FieldPath) -> Node:
        """Find the node at a path, or the nearest above it."""
        node = self.find(path)
        return node or self.nearest(path[:-1])


def dotted(path: FieldPath) -> str:
    """Spell a path as users do: data.path[1]."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(steps).removeprefix(".")


def steps(path: str) -> FieldPath:
    """Read a path that dotted wrote."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return tuple(int(index) if index else name for index, name in parts)


def shorten(text: str) -> str:
    """Quote a text, cut to what a message can hold."""
    return f"'{text}'" if len(text) <= SHOWN else f"'{text[: SHOWN - 1]}…'"
