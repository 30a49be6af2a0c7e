"""leangen.lock: which files leangen wrote, and with what content."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping

NAME = "leangen.lock"
EPOCH = 2  # raised only by a release of leangen that changes what it writes
HEADER = (
    f"# Written by leangen (output epoch {EPOCH}); verify with: sha256sum -c {NAME}\n"
)
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+)")


def digest(text: str) -> str:
    """Hash a file's text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def format_lock(files: Mapping[str, str]) -> str:
    """Write one `sha256  file` line a file, sorted: edits of two branches rarely meet."""
    return _format({name: {digest(text)} for name, text in files.items()})


def merge(*texts: str) -> str:
    """Write the lock that knows every hash of some others: of a build under way."""
    known: dict[str, set[str]] = {}
    for text in texts:
        for name, hashes in parse_lock(text).items():
            known.setdefault(name, set()).update(hashes)
    return _format(known)


def _format(known: Mapping[str, Iterable[str]]) -> str:
    lines = (
        f"{found}  {name}\n" for name in sorted(known) for found in sorted(known[name])
    )
    return HEADER + "".join(lines)


def without(text: str, names: Collection[str]) -> str:
    """Take files out of a lock, and leave every other line as it is."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if parse_lock(line).keys().isdisjoint(names))


def parse_lock(text: str) -> dict[str, set[str]]:
    """Read the hashes that each file may have.

    Lines that are none, such as a merge's conflict markers, are passed over; both sides
    of a conflict count. Names with a folder in them never match.
    """
    hashes: dict[str, set[str]] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match and match[2] not in (".", ".."):
            hashes.setdefault(match[2], set()).add(match[1])
    return hashes
