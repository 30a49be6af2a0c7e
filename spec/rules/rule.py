"""A rule between fields: what it reads, its check, and the problem that it finds."""

from collections.abc import Callable
from typing import NamedTuple


class Problem(NamedTuple):
    """A contradiction; without `expected`, `suggestion` is a remedy in words.

    `idle`: the field does nothing, and all is well without it.
    """

    field: str
    message: str
    expected: str = ""
    suggestion: str = ""
    idle: bool = False


Check = Callable[..., Problem | None]


class Rule(NamedTuple):
    """A check, and the fields whose values it gets in this order.

    A value is the file's or the default, None without either; those of `written`
    are the file's alone. Only sound values reach a check.
    """

    check: Check
    reads: tuple[str, ...]
    written: tuple[str, ...] = ()


def rule(*reads: str, written: str | tuple[str, ...] = ()) -> Callable[[Check], Rule]:
    """Make a rule of a check."""
    own = (written,) if isinstance(written, str) else written
    return lambda check: Rule(check, reads, own)


def idle(field: str, beside: str, remedy: str) -> Problem:
    """Say that a field does nothing beside another one."""
    name = field.rpartition(".")[2]
    message = f"{name} does nothing with {beside}"
    return Problem(field, message, suggestion=remedy, idle=True)
