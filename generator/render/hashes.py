"""What pip takes for a script with hashes: its packages, and all that those need in turn.

pip refuses whatever a file with hashes does not name. The locks hold both; they are made
by `make lock`, so that adding hashes needs no network.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from leangen.generator.render.requirements import TORCH_FILE
from leangen.generator.render.templates import read_template

ENTRY = re.compile(r"(?m)^([a-z0-9-]+)==.*(?:\n    --hash=.*)*(?:\n    #.*)*")
CUDA = re.compile(r"cuda-.*|nvidia-.*|triton")  # needed by PyPI's torch on Linux alone


@dataclass(frozen=True)
class Entry:
    """A package of a lock: its lines with hashes, and which packages ask for it."""

    name: str
    text: str
    needed_by: frozenset[str]


def with_hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Rewrite the requirements among a folder's files; comments and options stay."""
    names = [name for name in files if name.startswith("requirements-")]
    cuda = TORCH_FILE not in names  # torch comes from PyPI
    return {name: _with_hashes(name, files[name], cuda) for name in names}


def _with_hashes(name: str, text: str, cuda: bool) -> str:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.startswith(("#", "-"))]
    wanted = [line.partition("==")[0] for line in lines if line not in kept]
    alone = name == TORCH_FILE
    entries = read_lock("torch-cpu.lock") if alone else closure(wanted, cuda)
    return "".join([*kept, *(entry.text for entry in entries)])


def closure(
    wanted: Iterable[str], cuda: bool, without: Collection[str] = ()
) -> list[Entry]:
    """List packages with all that they need, in the lock's order.

    without: packages that are left out, and so is what they alone need.
    """
    entries = [
        entry
        for entry in read_lock("requirements.lock")
        if (cuda or not CUDA.fullmatch(entry.name)) and entry.name not in without
    ]
    needed, before = set(wanted), 0
    while len(needed) > before:
        before = len(needed)
        needed |= {entry.name for entry in entries if entry.needed_by & needed}
    return [entry for entry in entries if entry.name in needed]


@cache
def read_lock(name: str) -> tuple[Entry, ...]:
    """Read a lock that uv wrote: comments below a package name those that need it."""
    return tuple(map(_entry, ENTRY.finditer(read_template(name))))


def _entry(found: re.Match[str]) -> Entry:
    pins, _, comments = found[0].partition("\n    #")
    users = re.findall(r"[a-z0-9-]+(?=\n|$)", comments)
    return Entry(found[1], f"{pins}\n", frozenset(users))
