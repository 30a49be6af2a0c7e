"""Which line of which template the lines of a script come from.

Each line of a template that holds no statement is rendered with its number in front, once
more and for this alone; what is left without the numbers is the script.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leangen.generator.render.templates import (
    NO_PARTS,
    STATEMENT,
    Finalize,
    environment,
    found,
    written,
)
from leangen.spec.spec import Parts

MARK = re.compile("\0([^\0:]+):([0-9]+)\0")
OPENING = ("if", "for")


@dataclass(frozen=True)
class Origin:
    """A line of a template, 1-based; `source` is the template's text."""

    file: str
    line: int
    source: str = field(repr=False)

    @property
    def text(self) -> str:
        """The line, as it stands in the template."""
        return self.source.splitlines()[self.line - 1].strip()

    @property
    def conditions(self) -> list[str]:
        """What the template asks before it comes to the line, from the outside in."""
        above = self.source.splitlines()[: self.line - 1]
        asked: list[str] = []
        for word, rest in STATEMENT.findall("\n".join(above)):
            if word in OPENING:
                asked.append(word + rest)
            elif word in ("elif", "else"):
                asked[-1] = f"{word}{rest}, after {asked[-1]}"
            elif word in ("endif", "endfor"):
                asked.pop()
        return asked


def lines_of(text: str) -> list[str]:
    """Cut a file into lines as editors count them."""
    return text.removesuffix("\n").split("\n")


def origins(
    template: str, view: Mapping[str, Any], text: str, parts: Parts = NO_PARTS
) -> list[Origin | None]:
    """Tell of each line of a script where it comes from; None: what was put below the docstring.

    `text` is the script as it is written: with its imports, and what pip is to install.
    """
    code, places = traced(template, view, parts)
    head = code.index('"""') + 1
    put = len(lines_of(text)) - len(code)
    return [*places[:head], *[None] * put, *places[head:]]


def traced(
    template: str,
    view: Mapping[str, Any],
    parts: Parts,
    finalize: Finalize = written,
) -> tuple[list[str], list[Origin | None]]:
    """Render a template alone; give its lines, and where each comes from."""
    named = environment(parts, True, finalize).get_template(f"{template}.py.j2")
    places: list[Origin | None] = []
    code, last = [], None
    for line in lines_of(named.render(view)):
        marks = [_origin(mark[1], int(mark[2]), parts) for mark in MARK.finditer(line)]
        places.append(marks[0] if marks else last)  # a literal may take several lines
        last = marks[-1] if marks else last
        code.append(MARK.sub("", line))
    return code, places


def _origin(name: str, line: int, parts: Parts) -> Origin:
    file, source = found(name, parts)
    return Origin(file, line, source)
