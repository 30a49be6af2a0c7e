"""Templates by their names, leangen's and the author's in their place, and how Jinja reads them."""

import re
from collections.abc import Callable
from functools import cache, lru_cache

from jinja2 import (
    BaseLoader,
    Environment,
    StrictUndefined,
    TemplateNotFound,
    Undefined,
)

from leangen.generator.render.literals import bare, literal
from leangen.spec.parts import TEMPLATES, known
from leangen.spec.spec import Parts

NO_PARTS = Parts()
ORIGINAL = "leangen/"  # in front of a name: leangen's own, whatever stands in for it
STATEMENT = re.compile(r"#\{% *(\w+)(.*?) *%\}")
ENVIRONMENTS = 16  # that are kept: folders of templates, each in up to three ways

Source = tuple[str, str, Callable[[], bool]]
Finalize = Callable[[object], str]


@cache
def read_template(name: str) -> str:
    """Read a file of leangen's templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def found(name: str, parts: Parts) -> tuple[str, str]:
    """Give a template's file, as messages name it, and its text; raises TemplateNotFound."""
    own = dict(parts.texts).get(name)
    if own is not None:
        return f"{parts.folder}/{name}", own
    original = name.removeprefix(ORIGINAL)
    if original not in known():
        raise TemplateNotFound(name)
    return f"templates/{original}", read_template(original)


class _Loader(BaseLoader):
    """Loads templates; marked: each line that holds no statement says where it stands."""

    def __init__(self, parts: Parts, marked: bool) -> None:
        self.parts, self.marked = parts, marked

    def get_source(self, environment: Environment, template: str) -> Source:
        file, text = found(template, self.parts)
        if self.marked:
            lines = enumerate(text.splitlines(keepends=True), start=1)
            text = "".join(_mark(f"\0{template}:{n}\0", line) for n, line in lines)
        return text, file, lambda: True


def _mark(mark: str, line: str) -> str:
    return line if STATEMENT.match(line.strip()) else mark + line


def written(value: object) -> str:
    """Write what a hole has as a literal; raises UndefinedError, with its name, for nothing."""
    return str(value) if isinstance(value, Undefined) else literal(value)


@lru_cache(ENVIRONMENTS)
def environment(
    parts: Parts = NO_PARTS, marked: bool = False, finalize: Finalize = written
) -> Environment:
    """Set Jinja up so that templates are Python and values become literals.

    With parts of the author's, all of it is in a sandbox: whoever sends a pull request may
    write them, and they are rendered where it is reviewed.
    """
    kind: type[Environment] = Environment
    if parts.texts:
        from leangen.generator.render.sandbox import Sandbox  # few have any

        kind = Sandbox
    made = kind(
        loader=_Loader(parts, marked),
        undefined=StrictUndefined,
        finalize=finalize,
        block_start_string="#{%",
        block_end_string="%}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        auto_reload=False,
    )
    made.filters["bare"] = bare
    return made
