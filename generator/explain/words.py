"""Fields and their values as an answer spells them."""

import json
from textwrap import fill
from typing import Any

from leangen.spec.check.schema import field_at
from leangen.spec.neighbours import Changes
from leangen.spec.text.document import steps
from leangen.spec.text.scalars import write_quantity

WIDTH = 96  # columns


def beside(label: str, said: str, columns: int) -> str:
    """Write a paragraph beside its label."""
    start = f"{label:<{columns}}"
    return (
        fill(said, WIDTH, initial_indent=start, subsequent_indent=" " * columns) + "\n"
    )


def spell(path: str, value: Any) -> str:
    """Write a value as a spec would: 16GiB, true, [0, down_proj]."""
    quantity = field_at(steps(path)).get("x-quantity")
    if quantity and isinstance(value, int):
        return write_quantity(quantity, value)
    return json.dumps(value).replace('"', "")


def title(changes: Changes) -> str:
    """Spell a change: what is written, and what has to go for it."""
    new = [f"{path}: {spell(path, v)}" for path, v in changes.items() if v is not None]
    gone = [path for path, value in changes.items() if value is None]
    return " and ".join(new + [f"no {path}" for path in gone])
