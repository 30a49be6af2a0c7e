"""Which line of which template the lines of a script come from.

Each line of a template that holds no statement is rendered with its number in front, once
more and for this alone; what is left without the numbers is the script.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, FileSystemLoader

from leangen.generator.render.script import environment, read_template

MARK = re.compile("\0([^\0:]+):([0-9]+)\0")
STATEMENT = re.compile(r"#\{% *(\w+)(.*?) *%\}")
OPENING = ("if", "for")


@dataclass(frozen=True)
class Origin:
    """A line of a template, 1-based, such as prune/wanda.py.j2:31."""

    template: str
    line: int

    @property
    def text(self) -> str:
        """The line, as it stands in the template."""
        return read_template(self.template).splitlines()[self.line - 1].strip()

    @property
    def conditions(self) -> list[str]:
        """What the template asks before it comes to the line, from the outside in."""
        above = read_template(self.template).splitlines()[: self.line - 1]
        asked: list[str] = []
        for word, rest in STATEMENT.findall("\n".join(above)):
            if word in OPENING:
                asked.append(word + rest)
            elif word in ("elif", "else"):
                asked[-1] = f"{word}{rest}, after {asked[-1]}"
            elif word in ("endif", "endfor"):
                asked.pop()
        return asked


class _Marking(FileSystemLoader):
    """Loads templates whose lines say where they stand."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        source, name, is_current = super().get_source(environment, template)
        lines = enumerate(source.splitlines(keepends=True), start=1)
        marked = (_mark(f"\0{template}:{number}\0", line) for number, line in lines)
        return "".join(marked), name, is_current


def _mark(mark: str, line: str) -> str:
    return line if STATEMENT.match(line.strip()) else mark + line


def lines_of(text: str) -> list[str]:
    """Cut a file into lines as editors count them."""
    return text.removesuffix("\n").split("\n")


def origins(template: str, view: Mapping[str, Any], text: str) -> list[Origin | None]:
    """Tell of each line of a script where it comes from; None: what was put below the docstring.

    `text` is the script as it is written: with its imports, and what pip is to install.
    """
    marked = environment(_Marking).get_template(f"{template}.py.j2").render(view)
    found, code, last = [], [], None
    for line in lines_of(marked):
        marks = [Origin(name, int(number)) for name, number in MARK.findall(line)]
        found.append(marks[0] if marks else last)  # a literal may take several lines
        last = marks[-1] if marks else last
        code.append(MARK.sub("", line))
    head = code.index('"""') + 1
    put = len(lines_of(text)) - len(code)
    return [*found[:head], *[None] * put, *found[head:]]
