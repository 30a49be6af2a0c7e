"""Runs the rules between fields over a document, on what is sound in it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from leangen.spec.check.validate import meant
from leangen.spec.errors import Diagnostic
from leangen.spec.rules.fields import RULES
from leangen.spec.rules.rule import Problem, Rule
from leangen.spec.text.document import Document, Node, steps


def contradictions(
    document: Document,
    values: Mapping[str, Any],
    wrong: Iterable[Diagnostic],
    doubtful: Iterable[str] = (),
) -> set[Diagnostic]:
    """Find what contradicts in filled values, leaving out what is wrong or doubtful."""
    broken = {path for diagnostic in wrong for path in _touched(diagnostic)}
    broken |= set(doubtful)
    written = _values(document.root)
    found = problems(values, written, broken)
    return {_diagnostic(document, rule, problem) for rule, problem in found}


def problems(
    values: Mapping[str, Any],
    written: Mapping[str, Any],
    broken: Iterable[str] = (),
) -> Iterator[tuple[Rule, Problem]]:
    """Apply the rules to filled values, of which `written` are the author's."""
    unsound = set(broken)
    for rule in RULES:
        if any(_unsound(path, unsound) for path in rule.reads + rule.written):
            continue
        problem = rule.check(*_arguments(values, written, rule))
        if problem:
            yield rule, problem
            unsound.add(problem.field)


def _touched(diagnostic: Diagnostic) -> set[str]:
    """Name the fields that a finding leaves in doubt."""
    return {diagnostic.path, meant(diagnostic)} - {""}


def _arguments(
    values: Mapping[str, Any], written: Mapping[str, Any], rule: Rule
) -> list[Any]:
    """Look up what a rule reads."""
    given = [_lookup(values, path) for path in rule.reads]
    own = [_lookup(written, path) is not None for path in rule.written]
    named = zip(rule.written, own, strict=True)
    return given + [_lookup(values, path) if has else None for path, has in named]


def _values(node: Node) -> Any:
    """Give the nodes of a tree by name; what is inside a field does not matter."""
    if isinstance(node.value, dict):
        return {name: _values(child) for name, child in node.value.items()}
    return node


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
