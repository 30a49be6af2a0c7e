"""What a script imports, line by line, and how many of the names it uses."""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping

Files = Mapping[str, str]  # the text of each generated file, by name
Import = ast.Import | ast.ImportFrom


def reached(files: Files, script: str) -> Iterator[tuple[int, str]]:
    """List the packages' modules that a script loads, with the line that does it first.

    Through modules beside it, too; Python's own library is left out.
    """
    yield from _reached(files, script, set())


def _reached(files: Files, script: str, seen: set[str]) -> Iterator[tuple[int, str]]:
    for node in imports_in(files[script]):
        for module in _modules(node):
            root = module.partition(".")[0]
            if module in seen or root in sys.stdlib_module_names:
                continue
            seen.add(module)
            if f"{root}.py" in files:
                inner = _reached(files, f"{root}.py", seen)
                yield from ((node.lineno, found) for _, found in inner)
            else:
                yield node.lineno, module


def imports_in(code: str) -> list[Import]:
    """List the imports of a file, in its order."""
    found = [n for n in ast.walk(ast.parse(code)) if isinstance(n, Import)]
    return sorted(found, key=lambda node: node.lineno)


def _modules(node: Import) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""]


def use_of(codes: Iterable[str]) -> tuple[int, int]:
    """Count the names that some files use of those that they import, and all of these."""
    active = total = 0
    for code in codes:
        nodes = list(ast.walk(ast.parse(code)))
        read = {node.id for node in nodes if isinstance(node, ast.Name)}
        imports = [node for node in nodes if isinstance(node, Import)]
        names = [alias for node in imports for alias in node.names]
        bound = [alias.asname or alias.name.partition(".")[0] for alias in names]
        active += sum(name in read for name in bound)
        total += len(bound)
    return active, total
