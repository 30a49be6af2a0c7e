"""A template and what it may see -> the code of a script, or of a module beside it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leangen.generator.render.imports import select_imports
from leangen.generator.render.literals import bare, literal

TEMPLATES = Path(__file__).parents[2] / "templates"


@cache
def environment(loader: type[FileSystemLoader] = FileSystemLoader) -> Environment:
    """Set Jinja up so that templates are Python and values become literals."""
    made = Environment(
        loader=loader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=literal,
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


def render(template: str, view: Mapping[str, Any]) -> str:
    """Render a template, with the imports that it turned out to need."""
    code = environment().get_template(f"{template}.py.j2").render(view)
    return below_docstring(code, select_imports(code, read_template("imports.py")))


@cache
def read_template(name: str) -> str:
    """Read a file of the templates that is none itself."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def below_docstring(code: str, text: str) -> str:
    """Insert a paragraph between a module's docstring and what follows it."""
    docstring, end, rest = code.partition('\n"""\n')
    return f"{docstring}{end}\n{text}\n{rest}" if text else code
