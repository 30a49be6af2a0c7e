"""A file of weights: what its header says is in it, and whether all of that can be.

Eight bytes hold the length of the header, a JSON object that says of each tensor its type,
its shape, and where behind the header its bytes lie. They lie there without a gap.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from leangen.spec.errors import LeangenError

LONGEST = 2**24  # bytes of JSON that are read: what is published has fewer
BYTES = {"F32": 4, "F16": 2, "BF16": 2}  # of a value, in the types that scripts read
POINTER = b"version https://git-lfs"  # what Git leaves of a file that it did not fetch
AGAIN = "fetch the model again"


@dataclass(frozen=True)
class Stored:
    """What a header says of a tensor: its bytes lie from begin to end."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_file(file: Path) -> dict[str, Stored]:
    """Tell what is in a file; raises LeangenError where it is not all there."""
    if not file.is_file():
        refuse(f"{file} is missing")
    with file.open("rb") as opened:
        start = opened.read(len(POINTER))
        if start == POINTER:
            refuse(
                f"{file} holds a pointer of Git LFS", "run git lfs pull in its folder"
            )
        length, size = int.from_bytes(start[:8], "little"), file.stat().st_size
        if not 0 < length <= min(LONGEST, size - 8):
            refuse(f"{file} is no safetensors file, or is cut off")
        opened.seek(8)
        table = parse(file, opened.read(length))
    table.pop("__metadata__", None)
    rows = {name: _row(file, name, row) for name, row in table.items()}
    _check_places(file, rows, size - 8 - length)
    return rows


def parse(file: Path, content: bytes) -> dict[str, Any]:
    """Read a JSON object; raises LeangenError."""
    try:
        found = json.loads(content)
    except (RecursionError, ValueError):
        found = None
    if not isinstance(found, dict):
        refuse(f"{file} is damaged: no JSON object is where it should be")
    return found


def refuse(problem: str, remedy: str = AGAIN) -> NoReturn:
    """Raise the error of a file of weights."""
    raise LeangenError.of(problem, remedy=remedy, code="weights")


def _row(file: Path, name: str, row: Any) -> Stored:
    """Read what a header says of one tensor."""
    row = row if isinstance(row, dict) else {}
    dtype, shape, place = row.get("dtype"), row.get("shape"), row.get("data_offsets")
    sound = isinstance(dtype, str) and _sizes(shape) and _sizes(place)
    if not sound or len(place) != 2:
        refuse(f"{file} is damaged: its header makes no sense at {name[:80]}")
    return Stored(file, str(dtype), tuple(shape), *place)


def _sizes(found: Any) -> bool:
    """Tell whether something is a short list of sizes."""
    short = isinstance(found, list) and len(found) <= 8
    return short and all(type(n) is int and n >= 0 for n in found)


def _check_places(file: Path, rows: dict[str, Stored], size: int) -> None:
    """Hold the places of all tensors against their shapes, each other, and the file."""
    end = 0
    in_order = sorted(rows.items(), key=lambda item: (item[1].begin, item[1].end))
    for name, row in in_order:
        needed = BYTES.get(row.dtype, 0) * math.prod(row.shape) or row.end - row.begin
        if row.begin != end or row.end - row.begin != needed:
            refuse(f"{file} is damaged: {name[:80]} does not lie where it could")
        end = row.end
    if end != size:
        whole = f"{end:,} bytes of weights belong there, {size:,} are"
        refuse(f"{file} is {'cut off' if size < end else 'damaged'}: {whole}")
