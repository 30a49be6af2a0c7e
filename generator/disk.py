"""The one module that compares generated files with the disk, and writes them."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from leangen.generator import lock
from leangen.spec import LeangenError

MISSING, OUTDATED, OBSOLETE, EDITED = "missing", "outdated", "obsolete", "edited"


@dataclass(frozen=True)
class Change:
    """A file that differs from what the spec says; None stands for no file.

    state: missing, outdated (as leangen once wrote it), obsolete (likewise, and no
    longer wanted), or edited (by something else than leangen).
    """

    file: Path
    state: str
    old: str | None
    new: str | None


def compare(folder: Path, files: Mapping[str, str]) -> list[Change]:
    """List how the folder differs from the files that should be in it."""
    if folder.is_symlink():
        raise LeangenError.of(
            f"{folder} is a symbolic link: leangen writes to real folders alone",
            remedy="remove the link, or choose another --out",
            code="symlink",
        )
    locked = lock.parse_lock(_read(folder / lock.NAME) or "")
    changes = []
    for name in sorted(files.keys() | locked.keys()):
        old, new = _read(folder / name), files.get(name)
        if old != new:
            state = _state(old, new, locked.get(name, set()), name)
            changes.append(Change(folder / name, state, old, new))
    return changes


def _state(old: str | None, new: str | None, known: set[str], name: str) -> str:
    if old is None:
        return MISSING
    if name != lock.NAME and lock.digest(old) not in known:
        return EDITED
    return OUTDATED if new is not None else OBSOLETE


def _read(file: Path) -> str | None:
    """Read a file as it is; what is no regular file is never read, nor leangen's."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return "not a regular file\n"
        return file.read_bytes().decode("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def has_hashes(folder: Path) -> bool:
    """Tell whether the requirements in a folder were built with hashes."""
    files = folder.glob("requirements-*.txt")
    return any("--hash=sha256:" in (_read(file) or "") for file in files)


def show(change: Change) -> str:
    """Write a change as a unified diff."""
    old, new = (change.old or "").splitlines(True), (change.new or "").splitlines(True)
    before = "/dev/null" if change.old is None else f"a/{change.file.as_posix()}"
    after = "/dev/null" if change.new is None else f"b/{change.file.as_posix()}"
    return "".join(_complete(unified_diff(old, new, before, after)))


def _complete(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def write(changes: Iterable[Change]) -> None:
    """Bring the disk to what the changes say, the lock last, each file atomically.

    Everything is written beside its place first, so that a full disk changes nothing.
    """
    ordered = sorted(changes, key=lambda change: change.file.name == lock.NAME)
    try:
        for change in ordered:
            if change.new is not None:
                _stage(change.file, change.new)
        for change in ordered:
            if change.new is not None:
                os.replace(_partial(change.file), change.file)
            else:
                change.file.unlink(missing_ok=True)
    finally:
        for change in ordered:
            with suppress(OSError):
                _partial(change.file).unlink(missing_ok=True)


def create(file: Path, text: str) -> None:
    """Write a new file: whole or not at all, and never over another."""
    if os.path.lexists(file):
        raise LeangenError.of(
            f"{file} exists",
            remedy="name another file, or remove this one",
            code="exists",
            exit_code=3,
        )
    write([Change(file, MISSING, None, text)])


def _partial(file: Path) -> Path:
    return file.with_name(f".{file.name}.partial")


def _stage(file: Path, text: str) -> None:
    """Write a text beside the file that it will replace, and onto the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _partial(file).unlink(missing_ok=True)  # never write through a link
    with _partial(file).open("x", encoding="utf-8", newline="\n") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
