"""Values of a spec as Python source: the only way in which they reach a script."""

import math
import re


class Bare(str):
    """Text that was checked to be harmless outside a literal."""


def literal(value: object) -> str:
    """Write a value as the Python literal that `ruff format` would leave alone.

    Raises TypeError for anything but numbers, strings, None, dicts and tuples;
    tuples become lists.
    """
    if value is None or isinstance(value, bool | Bare):
        return str(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple | list):
        return _lines("[", [literal(item) for item in value], "]")
    if isinstance(value, dict):
        items = value.items()
        return _lines("{", [f"{literal(k)}: {literal(v)}" for k, v in items], "}")
    raise TypeError(f"{type(value).__name__} has no literal")


def _string(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_character(c, quote) for c in text) + quote


def _character(character: str, quote: str) -> str:
    if character in ("\\", quote):
        return "\\" + character
    return character if character.isprintable() else repr(character)[1:-1]


def _lines(start: str, items: list[str], end: str) -> str:
    """One item a line, so that a change of one is a diff of one line."""
    if not items:
        return start + end
    inner = (item.replace("\n", "\n    ") for item in items)
    return start + "\n" + "".join(f"    {item},\n" for item in inner) + end


def bare(value: object) -> Bare:
    """Let a value into a docstring or a comment: words and numbers, nothing else.

    Raises ValueError for text that could end the docstring or the comment.
    """
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9 _.:/-]*", text):
        raise ValueError(f"{text!r} does not belong in a comment")
    return Bare(text)
