"""A template and what it may see -> the code of a script, or of a module beside it."""

from collections.abc import Mapping
from typing import Any

from leangen.generator.render.imports import select_imports
from leangen.generator.render.templates import environment, read_template


def render(template: str, view: Mapping[str, Any]) -> str:
    """Render a template, with the imports that it turned out to need."""
    code = environment().get_template(f"{template}.py.j2").render(view)
    return with_imports(code)


def with_imports(code: str) -> str:
    """Add the imports that a rendered template needs; raises NameError where there is none."""
    return below_docstring(code, select_imports(code, read_template("imports.py")))


def below_docstring(code: str, text: str) -> str:
    """Insert a paragraph between a module's docstring and what follows it."""
    docstring, end, rest = code.partition('\n"""\n')
    return f"{docstring}{end}\n{text}\n{rest}" if text else code
