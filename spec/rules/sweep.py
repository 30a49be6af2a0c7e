"""Rules on what a sweep varies: each line of it can be read."""

from collections.abc import Callable

from leangen.spec.axes import axes, conditions
from leangen.spec.errors import LeangenError
from leangen.spec.rules.rule import Problem, rule

OVER, LEFT_OUT = "sweep.over", "sweep.without"


@rule(OVER)
def axes_are_of_fields(over: list[str] | None) -> Problem | None:
    """An axis has a field and values of it, and each field has one."""
    return _unread(OVER, over or [], lambda lines: axes(lines, ""))


@rule(LEFT_OUT)
def left_out_is_of_fields(without: list[str] | None) -> Problem | None:
    """What is left out is told by fields and their values."""
    return _unread(LEFT_OUT, without or [], lambda lines: conditions(lines[-1], ""))


def _unread(
    field: str, lines: list[str], read: Callable[[list[str]], object]
) -> Problem | None:
    """Find the first line that cannot be read behind those before it."""
    for number in range(len(lines)):
        try:
            read(lines[: number + 1])
        except LeangenError as error:
            found = error.diagnostics[0]
            message = ": ".join(filter(None, (found.path, found.message)))
            path = f"{field}[{number}]"
            return Problem(path, message, found.expected, found.suggestion)
    return None


RULES = (axes_are_of_fields, left_out_is_of_fields)
