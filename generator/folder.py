"""Who may be at work in a generated folder, and what may lie in it."""

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leangen.spec import LeangenError

ARTIFACTS = "artifacts"  # what the scripts write, and the lock of who is at work
LOCK = "run.lock"
PATIENCE = 3.0  # seconds to wait for another leangen: a build is done by then
DIGITS = 20  # of a process id, at most
IMPORTED = (".py", ".pyc", ".pyw", ".so", ".pyd")  # endings of what Python imports
OURS = (ARTIFACTS, "__pycache__")  # folders that hold no modules by themselves


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold a folder against every other leangen; yields the lock's descriptor.

    A process that inherits the descriptor holds the folder, too, until it ends.
    """
    require_folders(folder)
    (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
    with hold(folder / ARTIFACTS / LOCK, folder) as lock:
        yield lock


@contextmanager
def hold(file: Path, folder: Path) -> Iterator[int]:
    """Hold a folder by a file that is its lock; yields its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    lock = os.open(file, flags, 0o666)
    try:
        _acquire(lock, folder)
        sign(lock, os.getpid())
        try:
            yield lock
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def sign(lock: int, process: int) -> None:
    """Note in a lock which process works under it, for those who find it taken."""
    with suppress(OSError):  # of a full disk: the lock holds without a name
        os.pwrite(lock, f"{process:<{DIGITS}}\n".encode(), 0)


def _acquire(lock: int, folder: Path) -> None:
    """Wait a moment for the lock; raises LeangenError where it stays taken."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                holder = os.pread(lock, DIGITS, 0).decode(errors="replace").strip()
                raise LeangenError.of(
                    f"another leangen, or a script, is at work in {folder}",
                    remedy=f"wait for process {holder or 'that holds it'}, or stop it",
                    code="busy",
                    exit_code=1,
                ) from None
        time.sleep(PATIENCE / 60)


def require_folders(folder: Path) -> None:
    """Raise LeangenError where the folder, or its artifacts/, is a link or a file."""
    for place in (folder, folder / ARTIFACTS):
        if place.is_symlink():
            raise _link(place, "or choose another --out")
        if place.exists() and not place.is_dir():
            raise LeangenError.of(
                f"{place} is no folder: leangen writes into one of that name",
                remedy="move it away, or choose another --out",
                code="no-folder",
            )


def refuse_links_inside(folder: Path) -> None:
    """Raise LeangenError where a script would write through a link in artifacts/."""
    require_folders(folder)
    for root, folders, files in os.walk(folder / ARTIFACTS):
        for name in sorted((*folders, *files)):
            if os.path.islink(os.path.join(root, name)):
                raise _link(Path(root, name), "or put what it points to in its place")


def _link(place: Path, otherwise: str) -> LeangenError:
    return LeangenError.of(
        f"{place} is a symbolic link: leangen writes to real folders alone",
        remedy=f"remove the link, {otherwise}",
        code="symlink",
    )


def foreign(folder: Path, known: Collection[str]) -> list[Path]:
    """List what is not leangen's, and what a script in the folder would import.

    Python looks for every module beside the script first: a numpy.py there would run.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [entry for entry in entries if entry.name not in known]
    return [
        Path(entry.path)
        for entry in found
        if entry.name.endswith(IMPORTED) or (entry.is_dir() and _imports(entry))
    ] + _forged(folder / "__pycache__")


def _imports(entry: os.DirEntry[str]) -> bool:
    """Tell whether Python would take a folder for a package, __init__.py or not."""
    if entry.name in OURS:
        names = os.listdir(entry.path)
        return any(n.startswith("__init__.") and n.endswith(IMPORTED) for n in names)
    walked = os.walk(entry.path) if entry.name.isidentifier() else ()
    return any(name.endswith(IMPORTED) for _, _, names in walked for name in names)


def _forged(cache: Path) -> list[Path]:
    """List compiled modules that Python would run without a look at the source's date.

    It writes none by itself: what has a hash in place of the date came from elsewhere.
    """
    compiled = sorted(cache.glob("*.pyc")) if cache.is_dir() else []
    return [file for file in compiled if file.read_bytes()[4:8] != bytes(4)]
