"""Runs the rules between fields over a document, on what is sound in it."""

from collections.abc import Iterable
from typing import Any

from leangen.spec.document import Document, steps
from leangen.spec.errors import Diagnostic
from leangen.spec.rule import Problem, Rule
from leangen.spec.rules import RULES
from leangen.spec.validate import meant


def contradictions(
    document: Document, values: dict[str, Any], wrong: Iterable[Diagnostic]
) -> set[Diagnostic]:
    """Find what contradicts in filled values, leaving out what is wrong already."""
    broken = {path for diagnostic in wrong for path in _touched(diagnostic)}
    found: set[Diagnostic] = set()
    for rule in RULES:
        if any(_unsound(path, broken) for path in rule.reads + rule.written):
            continue
        problem = rule.check(*_arguments(document, values, rule))
        if problem:
            found.add(_diagnostic(document, rule, problem))
            broken.add(problem.field)
    return found


def _touched(diagnostic: Diagnostic) -> set[str]:
    """Name the fields that a finding leaves in doubt."""
    return {diagnostic.path, meant(diagnostic)} - {""}


def _arguments(document: Document, values: dict[str, Any], rule: Rule) -> list[Any]:
    """Look up what a rule reads."""
    written = [path for path in rule.written if _is_written(document, path)]
    given = [_lookup(values, path) for path in (*rule.reads, *written)]
    return given + [None] * (len(rule.written) - len(written))


def _lookup(values: Any, path: str) -> Any:
    for step in path.split("."):
        values = values.get(step) if isinstance(values, dict) else None
    return values


def _is_written(document: Document, path: str) -> bool:
    return document.find(steps(path)) is not None


def _unsound(path: str, broken: set[str]) -> bool:
    """Tell whether a value, a part of it, or a section around it is in doubt."""
    return any(
        f"{path}.".startswith(f"{wrong}.") or wrong.startswith((f"{path}.", f"{path}["))
        for wrong in broken
    )


def _diagnostic(document: Document, rule: Rule, problem: Problem) -> Diagnostic:
    """Point at the field, or where it is left out at the first that the rule reads."""
    fields = [problem.field, *rule.reads]
    written = (path for path in fields if _is_written(document, path))
    place = document.nearest(steps(next(written, problem.field))).caret
    return document.source.diagnostic(
        place,
        "contradiction",
        problem.message,
        path=problem.field,
        expected=problem.expected,
        suggestion=problem.suggestion,
    )
