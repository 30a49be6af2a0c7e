"""What a rendered script imports, read off the script itself."""

import ast
import builtins
import symtable
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

PARTS = 1024  # pieces of code that are remembered: all that the templates have
FILES = 64  # of them whole: those of a folder, which several stages import
T = TypeVar("T")
PROVIDED = {*dir(builtins), "__file__", "__name__"}


def unbound_names(code: str) -> set[str]:
    """List the names that the code reads and that nothing in it, nor Python, provides."""
    parts = _look(_names, code)
    read = {name for part in parts for name in part.read}
    bound = {name for part in parts for name in part.bound}
    return read - bound - PROVIDED


def _look(at: Callable[[str], T], code: str) -> list[T]:
    """Look at the parts of a module: scripts share most of theirs, and each is seen once.

    The end of a docstring parts them, which names the spec, and two blank lines. Where a
    literal holds some, the parts are no Python: then the whole is looked at.
    """
    parts = code.replace('\n"""\n', '\n"""\n\n\n', 1).split("\n\n\n")
    try:
        return [at(part) for part in parts]
    except SyntaxError:
        return [at(code)]


@dataclass(frozen=True)
class _Names:
    """The global names that a piece of code reads, and those that it binds."""

    read: frozenset[str]
    bound: frozenset[str]


@lru_cache(PARTS)
def _names(code: str) -> _Names:
    top, *inner = _scopes(symtable.symtable(code, "script", "exec"))
    read = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    for scope in inner:
        if isinstance(scope, symtable.Function):
            read.update(scope.get_globals())
        else:
            read |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned()}
    return _Names(frozenset(read), frozenset(bound))


def _scopes(scope: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield scope
    for child in scope.get_children():
        yield from _scopes(child)


def select_imports(code: str, menu: str) -> str:
    """Copy from the menu the imports that the code uses, in the menu's order and groups.

    Raises NameError where the code uses a name that neither it nor the menu provides.
    """
    return _select(menu, frozenset(unbound_names(code)))


@lru_cache(PARTS)
def _select(menu: str, names: frozenset[str]) -> str:
    missing = set(names)
    groups: list[list[str]] = [[]]
    end = 0
    for node in ast.parse(menu).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if node.lineno > end + 1:
            groups.append([])  # a blank line of the menu parts two groups
        end = node.end_lineno or node.lineno
        node.names = [a for a in node.names if (a.asname or a.name) in missing]
        missing -= {a.asname or a.name for a in node.names}
        if node.names:
            groups[-1].append(_format(node))
    if missing:
        listed = sorted(missing)
        raise NameError(f"no import provides {', '.join(listed)}", name=listed[0])
    return "\n\n".join("\n".join(group) for group in groups if group)


def _format(node: ast.Import | ast.ImportFrom) -> str:
    """Write an import as `ruff format` does: one name a line where one line is too long."""
    line = ast.unparse(node)
    if len(line) <= 88:
        return line
    source, _, names = line.partition(" import ")
    inner = "".join(f"    {name},\n" for name in names.split(", "))
    return f"{source} import (\n{inner})"


@lru_cache(FILES)
def imported_modules(code: str) -> frozenset[str]:
    """Name the top-level modules outside the standard library that the code imports."""
    return frozenset().union(*_look(_imports, code)) - sys.stdlib_module_names


@lru_cache(PARTS)
def _imports(code: str) -> frozenset[str]:
    roots: set[str] = set()
    for node in _statements(ast.parse(code)) if "import" in code else ():
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.partition(".")[0])
    return frozenset(roots)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the statements below a node, and none of their expressions."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        inside = getattr(node, name, ())
        for statement in inside if isinstance(inside, list) else ():
            yield statement
            yield from _statements(statement)
