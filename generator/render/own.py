"""Files with templates of the author's in them: as strict as leangen's, and errors at their lines."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import suppress
from traceback import walk_tb
from typing import Any

from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError, nodes

from leangen.generator.render.imports import imported_modules
from leangen.generator.render.origins import Origin, origins, traced
from leangen.generator.render.requirements import packages
from leangen.generator.render.sandbox import Sandbox
from leangen.generator.render.script import with_imports
from leangen.generator.render.templates import environment, written
from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at
from leangen.spec.spec import Parts
from leangen.spec.text.document import shorten

HOLE = "_a_value_of_the_spec_"  # in place of each value that is neither number nor plain word
HOLES = re.compile(f"{HOLE}([0-9a-f]+)_")
OF_CODE = re.compile(r" (?:on|\(detected at) line \d+\)?")  # of what nobody sees
ALONE = re.compile(r" *#\{% .* %\}")
PAST_LITERALS = (nodes.FilterBlock, nodes.CallBlock)  # what they write is no literal
VALUES = "a value of the spec is a literal, and stands in no text, comment or name"
STANDS = "a statement has its line to itself, as #{% ... %}, and a hole is on one line"

View = Mapping[str, Any]
Found = tuple[str, View]  # a template, and what it sees


def require_templates(spec: Spec) -> None:
    """Raise LeangenError for what of the author's templates is none, used or not."""
    wrong = [each for part in spec.parts.texts for each in _wrong(spec, *part)]
    if wrong:
        raise LeangenError(wrong)


def _wrong(spec: Spec, name: str, text: str) -> Iterator[Diagnostic]:
    for number, line in enumerate(text.splitlines(), start=1):
        opened = "{{" in line and "}}" not in line.partition("{{")[2]
        if opened or ("{%" in line and not ALONE.fullmatch(line)):
            yield _at_line(spec.parts, name, number, STANDS)
            return
    try:
        tree = environment(spec.parts).parse(text)
    except RecursionError:
        yield _at_line(spec.parts, name, 1, "it is nested too deeply")
        return
    except TemplateSyntaxError as error:
        yield _at_line(spec.parts, name, error.lineno, str(error.message))
        return
    for node in tree.find_all(PAST_LITERALS):
        message = "filter and call blocks write what is no literal: use a hole"
        yield _at_line(spec.parts, name, node.lineno, message)


def render_own(spec: Spec, script: str, found: Found) -> str:
    """Render a file of which templates may be the author's.

    Raises LeangenError, at the author's line where it is one, for what leangen's templates
    are tested for: Python with a docstring, whose values are literals and whose names exist.
    """
    try:
        code, asked = _rendered(spec.parts, *found)
    except Exception as error:  # noqa: BLE001 - a template of the author's may raise any
        raise LeangenError([_raised(spec, script, error)]) from None
    if asked.isdisjoint(dict(spec.parts.texts)):  # leangen's alone, which tests look at
        return with_imports(code)
    if not code.startswith('"""') or '\n"""\n' not in code:
        message = f'{script} begins with no docstring that ends in a line of """'
        raise LeangenError([_at_field(spec, message)])
    try:
        compile(code, script, "exec")
        _require_literals(spec, script, found, code)
        return with_imports(code)
    except (RecursionError, MemoryError):
        message = f"{script} is nested too deeply"
        raise LeangenError([_at_field(spec, message)]) from None
    except SyntaxError as error:
        with suppress(SyntaxError):
            _require_literals(spec, script, found, code)  # which says more
        message = f"this is no Python: {OF_CODE.sub('', error.msg)}"
        where = _nearest(spec, found, error.lineno or 1)
        raise _found(spec, script, where, message) from None
    except NameError as error:
        where = origins(*found, code, spec.parts)[_first(code, str(error.name)) - 1]
        raise _found(spec, script, where, f"nothing provides {error.name}") from None


def _rendered(parts: Parts, template: str, view: View) -> tuple[str, set[str]]:
    """Render a template; give the text, and the names of all templates that went into it."""
    sandbox = environment(parts)
    assert isinstance(sandbox, Sandbox), "parts are the author's"
    sandbox.asked = {f"{template}.py.j2"}
    return sandbox.get_template(f"{template}.py.j2").render(view), sandbox.asked


def _require_literals(spec: Spec, script: str, found: Found, code: str) -> None:
    """Let other words stand for values: each must be a word of its own in the code.

    With the values back in their places the code must be the same: a template that looks at
    what it wrote would else write another one here.
    """
    lines, places = traced(*found, spec.parts, finalize=_hole)
    tokens = tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline)
    try:
        words = [
            token
            for token in tokens
            if token.type == tokenize.NAME and HOLES.fullmatch(token.string)
        ]
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from None
    alone = {word.start for word in words}
    for number, line in enumerate(lines, start=1):
        for hole in HOLES.finditer(line):
            if (number, hole.start()) not in alone:
                raise _found(spec, script, places[number - 1], VALUES)
    whole = HOLES.sub(lambda hole: bytes.fromhex(hole[1]).decode(), "\n".join(lines))
    if whole.rstrip("\n") != code.rstrip("\n"):
        raise LeangenError([_at_field(spec, f"{script}: {VALUES}")])


def _hole(value: object) -> str:
    text = written(value)
    plain = value is None or isinstance(value, int | float) or text == value  # bare
    return text if plain else f"{HOLE}{text.encode().hex()}_"


def require_packages(
    spec: Spec, codes: Mapping[str, str], found: Mapping[str, Found]
) -> None:
    """Raise LeangenError where a file imports what is neither pinned nor beside it."""
    beside = {script.removesuffix(".py") for script in codes}
    for script, code in codes.items():
        for module in sorted(imported_modules(code) - beside - packages()):
            message = f"{module} is no module beside it, and no package that is pinned"
            remedy = f"there are {', '.join(sorted(packages()))}"
            where = origins(*found[script], code, spec.parts)[_first(code, module) - 1]
            raise _found(spec, script, where, message, remedy)


def _first(code: str, name: str) -> int:
    """Find the line of a module that reads a name, or imports it, first."""
    lines = (
        node.lineno
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.expr | ast.stmt) and name in _names(node)
    )
    return min(lines, default=1)  # of a class's own name, Python makes another


def _names(node: ast.AST) -> list[str]:
    """Name what a node reads or imports."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.ImportFrom):
        return [_root(node.module or "")]
    aliases = node.names if isinstance(node, ast.Import) else ()
    return [_root(alias.name) for alias in aliases]


def _root(module: str) -> str:
    return module.partition(".")[0]


def _raised(spec: Spec, script: str, error: Exception) -> Diagnostic:
    """Say what a template raised, at the innermost line of the author's that it came from."""
    own = _own(spec.parts)
    said = _said(error)
    for frame, line in reversed([*walk_tb(error.__traceback__)]):
        if frame.f_code.co_filename in own:
            name = own[frame.f_code.co_filename]
            return _at_line(spec.parts, name, line, said)
    return _at_field(spec, f"{script}: {said}")


def _said(error: Exception) -> str:
    if isinstance(error, TemplateNotFound):
        return f"there is no template {shorten(str(error))}"
    if isinstance(error, TemplateError):  # which names what is undefined, or unsafe
        return str(error.message)
    return f"{type(error).__name__}: {error}"


def _nearest(spec: Spec, found: Found, line: int) -> Origin | None:
    """Find where a line comes from, or the nearest above it that is of the author's."""
    _, places = traced(*found, spec.parts)
    above = places[: min(line, len(places))]
    own = [place for place in above if place and place.file in _own(spec.parts)]
    return own[-1] if own else above[-1]


def _own(parts: Parts) -> dict[str, str]:
    """Name the author's templates by their files."""
    return {f"{parts.folder}/{name}": name for name, _ in parts.texts}


def _found(
    spec: Spec, script: str, origin: Origin | None, message: str, remedy: str = ""
) -> LeangenError:
    own = _own(spec.parts)
    if origin and origin.file in own:
        found = _at_line(spec.parts, own[origin.file], origin.line, message, remedy)
    else:
        place = f", at {origin.file}:{origin.line}" if origin else ""
        found = _at_field(spec, f"{script} with these templates: {message}{place}")
    return LeangenError([found])


def _at_line(
    parts: Parts, name: str, line: int, message: str, remedy: str = ""
) -> Diagnostic:
    lines = dict(parts.texts)[name].splitlines() or [""]
    shown = lines[min(line, len(lines)) - 1]
    indent = len(shown) - len(shown.lstrip())
    return Diagnostic(
        code="template",
        message=message,
        file=f"{parts.folder}/{name}",
        line=line,
        column=indent + 1,
        suggestion=remedy,
        source=shown,
        width=max(1, len(shown.strip())),
    )


def _at_field(spec: Spec, message: str) -> Diagnostic:
    return diagnostic_at(spec, "templates", code="template", message=message)
