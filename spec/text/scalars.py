"""What a scalar says: YAML 1.2's plain values, and quantities with units."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import inf, isfinite

Scalar = str | int | float | bool | None

MAX_NUMBER = 64  # characters; longer ones stay text, which no numeric field takes

_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

# Units by kind of quantity, the one to print first where two would do.
UNITS: Mapping[str, Mapping[str, int]] = {
    "count": {"T": 10**12, "B": 10**9, "G": 10**9, "M": 10**6, "k": 10**3, "K": 10**3},
    "context": {"M": 2**20, "k": 2**10, "K": 2**10},
    "bytes": {
        "TiB": 2**40,
        "GiB": 2**30,
        "MiB": 2**20,
        "KiB": 2**10,
        "TB": 10**12,
        "GB": 10**9,
        "MB": 10**6,
        "kB": 10**3,
        "KB": 10**3,
        "B": 1,
    },
}
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE]\+?[0-9]{1,2})?"
_QUANTITY = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)")


def resolve(text: str) -> Scalar:
    """Read an unquoted scalar by YAML 1.2's core rules; what is infinite stays text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    number = float(text) if _FLOAT.fullmatch(text) else inf
    return number if isfinite(number) else text


def quantity_pattern(kind: str) -> str:
    """Write, as a regular expression, how a quantity is written."""
    return f"^{_NUMBER} ?({'|'.join(UNITS[kind])})?$"


def read_quantity(kind: str, text: str) -> int | None:
    """Read a whole number with a unit, such as 20M, 32k or 16GiB; None if it is not."""
    parts = _QUANTITY.fullmatch(text)
    if not parts or parts[2] not in {"", *UNITS[kind]}:
        return None
    value = Fraction(parts[1]) * UNITS[kind].get(parts[2], 1)
    return int(value) if value.denominator == 1 else None


def write_quantity(kind: str, value: int) -> str:
    """Write a number in the unit that makes it shortest, and none where none does."""
    units = UNITS[kind].items()
    fits = [f"{value // size}{unit}" for unit, size in units if value % size == 0]
    return min([str(value), *fits], key=len)


def mend_quantity(kind: str, text: str) -> str:
    """Spell a quantity the way that was probably meant, '' if there is no guess."""
    parts = re.fullmatch(
        r"([0-9.]+)([a-z]*)", re.sub(r"[\s_,]", "", text), re.IGNORECASE
    )
    if not parts:
        return ""
    prefix = parts[2].lower().removesuffix("ib").removesuffix("b")
    units = (unit for unit in UNITS[kind] if unit.lower().startswith(prefix))
    mended = parts[1] + (next(units, parts[2]) if prefix else "")
    return mended if read_quantity(kind, mended) is not None else ""


def add_unit(text: str) -> str:
    """Give a bare number of bytes the unit that was meant: nobody has 24 bytes."""
    number = resolve(text)
    if not isinstance(number, int | float) or isinstance(number, bool):
        return text
    return f"{text}{'GiB' if number < 1024 else 'MiB'}" if number < 2**20 else text
