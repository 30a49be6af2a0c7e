"""The one module that compares generated files with the disk, and writes them."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from leangen.generator import lock
from leangen.generator.folder import require_folders
from leangen.spec import LeangenError

MISSING, OUTDATED, OBSOLETE, EDITED = "missing", "outdated", "obsolete", "edited"
EJECTED = "ejected"


@dataclass(frozen=True)
class Change:
    """A file that differs from what the spec says; None stands for no file.

    state: missing, outdated (as leangen once wrote it), obsolete (likewise, and no
    longer wanted), edited (by something else than leangen), or ejected (the author's own).
    """

    file: Path
    state: str
    old: str | None
    new: str | None


def compare(folder: Path, files: Mapping[str, str]) -> list[Change]:
    """List how the folder differs from the files that should be in it."""
    require_folders(folder)
    locked = lock.parse_lock(_read(folder / lock.NAME) or "")
    changes = []
    for name in sorted(files.keys() | locked.keys()):
        old, new = _read(folder / name), files.get(name)
        if old != new:
            state = _state(old, new, locked.get(name, set()), name)
            changes.append(Change(folder / name, state, old, new))
    return changes


def ejected(
    folder: Path, names: Iterable[str], files: Mapping[str, str]
) -> list[Change]:
    """Set the files that are the author's beside what leangen would write, if it would.

    What is no regular file is missing: a script there would not be the author's.
    """
    found = []
    for name in names:
        file = folder / name
        there = file.is_file() and not file.is_symlink()
        old, state = (_read(file), EJECTED) if there else (None, MISSING)
        found.append(Change(file, state, old, files.get(name)))
    return found


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
    from difflib import unified_diff

    old, new = (change.old or "").splitlines(True), (change.new or "").splitlines(True)
    before = "/dev/null" if change.old is None else f"a/{change.file.as_posix()}"
    after = "/dev/null" if change.new is None else f"b/{change.file.as_posix()}"
    return "".join(_complete(unified_diff(old, new, before, after)))


def _complete(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def write(changes: Iterable[Change]) -> None:
    """Bring the disk to what the changes say, each file atomically.

    Everything is written beside its place first, so that a full disk changes nothing.
    The lock comes first with the old hashes and the new, and last with the new alone:
    whenever a build is killed, each file is known as leangen's.
    """
    steps = list(enumerate(_in_order(changes)))
    try:
        for number, change in steps:
            if change.new is not None:
                _stage(change.file, _partial(change.file, number), change.new)
        for number, change in steps:
            if change.new is not None:
                os.replace(_partial(change.file, number), change.file)
            else:
                change.file.unlink(missing_ok=True)
    finally:
        for number, change in steps:
            with suppress(OSError):
                _partial(change.file, number).unlink(missing_ok=True)


def _in_order(changes: Iterable[Change]) -> Iterator[Change]:
    """Set the lock around what it vouches for."""
    listed = list(changes)
    locks = [change for change in listed if change.file.name == lock.NAME]
    for change in locks:
        yield replace(change, new=lock.merge(change.old or "", change.new or ""))
    yield from (change for change in listed if change not in locks)
    yield from locks


def leftovers(folder: Path) -> list[Path]:
    """List what builds that were killed have left beside the files."""
    return [file for file in folder.glob(".*.partial") if not file.is_dir()]


def create(file: Path, text: str) -> None:
    """Write a new file: whole or not at all, and never over another."""
    if os.path.lexists(file):
        raise LeangenError.of(
            f"{file} exists",
            remedy="name another file, or remove this one",
            code="exists",
            exit_code=3,
        )
    overwrite(file, text)


def overwrite(file: Path, text: str) -> None:
    """Write a file that is no generated one: whole, or not at all."""
    write([Change(file, MISSING, None, text)])


def overwrite_bytes(file: Path, content: bytes) -> None:
    """Write a file that is no text, nor a generated one: whole, or not at all."""
    partial = _partial(file, 0)
    partial.unlink(missing_ok=True)  # never write through a link
    try:
        with partial.open("xb") as opened:
            opened.write(content)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _partial(file: Path, number: int) -> Path:
    return file.with_name(f".{file.name}.{number}.partial")


def _stage(file: Path, partial: Path, text: str) -> None:
    """Write a text beside the file that it will replace.

    It is not forced onto the disk: what a power cut loses is built again.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)  # never write through a link
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
    except OSError as error:
        error.filename = str(file)  # a full disk does not say what it had no space for
        raise
