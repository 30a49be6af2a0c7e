"""Values of a spec as Python source: the only way in which they reach a script."""

import math
import re


class Bare(str):
    """Text that was checked to be harmless outside a literal."""


def literal(value: object) -> str:
    """Write a value as the Python literal that `ruff format` would leave alone.

    Raises TypeError for anything but numbers, strings, None and tuples of them,
    which become lists.
    """
    if value is None or isinstance(value, bool | Bare):
        return str(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple):
        return _list(value)
    raise TypeError(f"{type(value).__name__} has no literal")


def _string(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_character(c, quote) for c in text) + quote


def _character(character: str, quote: str) -> str:
    if character in ("\\", quote):
        return "\\" + character
    return character if character.isprintable() else repr(character)[1:-1]


def _list(values: tuple[object, ...]) -> str:
    """One element a line, so that a change of one is a diff of one line."""
    return "[\n" + "".join(f"    {literal(value)},\n" for value in values) + "]"


def bare(value: object) -> Bare:
    """Let a value into a docstring or a comment: words and numbers, nothing else.

    Raises ValueError for text that could end the docstring or the comment.
    """
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9 _.:/-]*", text):
        raise ValueError(f"{text!r} does not belong in a comment")
    return Bare(text)
