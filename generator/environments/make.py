"""Making an environment: whole or not at all, once for all who ask for it."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from leangen.generator.disk import overwrite
from leangen.generator.environments.locked import Locked, locked
from leangen.generator.render.requirements import CPU_INDEX
from leangen.spec import LeangenError

FINISHED = "leangen-finished"  # written last: an environment without it is none
STRICT = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
# Of an index that serves torch alone: where it cannot be reached, that costs seconds.
PATIENCE = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "15", "UV_HTTP_TIMEOUT": "15"}
HOLDS = (
    "import sys; from importlib.metadata import version; [*map(version, sys.argv[1:])]"
)
FOREIGN = ("PYTHONPATH", "PYTHONHOME")  # which would let a stage import from elsewhere


@dataclass(frozen=True)
class Python:
    """A Python to start, and the variables that it sees."""

    program: Path
    variables: Mapping[str, str]


HERE = Python(Path(sys.executable), os.environ)  # the one that runs leangen


def python_of(wanted: Locked) -> Python:
    """Give the Python of the environment that holds some packages, made where it is not."""
    python = wanted.place / "bin" / "python"
    if not _is_finished(wanted.place):
        with _locked(wanted.place) as lock:
            if not _is_finished(wanted.place):  # another made it meanwhile
                _make(wanted, python, lock)
    return Python(python, _inside())


def _inside() -> dict[str, str]:
    """Give the variables of a process that imports from its environment alone."""
    return {name: os.environ[name] for name in os.environ if name not in FOREIGN}


def _is_finished(place: Path) -> bool:
    """Tell whether an environment is whole, and the Python that it was made of still there."""
    return (place / FINISHED).exists() and (place / "bin" / "python").exists()


@contextmanager
def _locked(place: Path) -> Iterator[int]:
    """Hold the place of an environment; yields the lock's descriptor.

    An installer that outlives a killed leangen has inherited it, and holds the place, too.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another leangen makes {place}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _make(wanted: Locked, python: Path, lock: int) -> None:
    """Install what is wanted where a killed installation may lie."""
    installer = _installer(python)
    start, held = time.monotonic(), ", ".join(wanted.needs) or "Python alone"
    _say(f"making an environment with {held}, once: {wanted.place}")
    if wanted.place.exists():
        shutil.rmtree(wanted.place)
    venv = [sys.executable, "-m", "venv", "--without-pip", str(wanted.place)]
    check = [str(python), "-c", HOLDS, *wanted.needs]
    done = _call(venv, lock) and _install(wanted, installer, lock)
    if not (done and _call(check, lock)):
        shutil.rmtree(wanted.place, ignore_errors=True)  # the disk may be full
        raise LeangenError.of(
            f"no environment with {held}: the lines above say why",
            remedy="mend that, and what is made already stays; or install the "
            "requirements of the stages yourself, and run without --isolated",
            code="installation",
        )
    overwrite(wanted.place / FINISHED, f"{held}\n")
    _say(f"made it in {time.monotonic() - start:.0f} s")


def _installer(python: Path) -> list[str]:
    """Give the command that installs into an environment: uv's, or else pip's.

    pip runs in the environment's Python from where it lies here: it stays out of it.
    """
    uv, pip = shutil.which("uv"), find_spec("pip")
    if uv:
        return [uv, "pip", "install", "--python", str(python)]
    if pip is None or pip.origin is None:
        raise LeangenError.of(
            "neither uv nor pip is here to make environments with",
            remedy="install uv, or run python -m ensurepip",
            code="no-installer",
        )
    runner = Path(pip.origin).with_name("__pip-runner__.py")  # of pip --python
    return [str(python), str(runner), "install", "--no-compile"]


def _install(wanted: Locked, installer: Sequence[str], lock: int) -> bool:
    """Install what the locks say; tell whether all went well.

    Where torch's own index does not answer, PyPI's comes with CUDA, and works as well.
    """
    others = wanted.others
    if wanted.torch:
        alone = [*installer, "--index-url", CPU_INDEX]
        if not _install_lock(wanted.place, wanted.torch, alone, lock):
            _say("no torch without CUDA to be had: installing PyPI's, which is large")
            others = locked(wanted.needs, torch_alone=False).others
    return _install_lock(wanted.place, others, installer, lock)


def _install_lock(place: Path, text: str, installer: Sequence[str], lock: int) -> bool:
    """Install what a lock says, and nothing that it does not."""
    if not text:
        return True
    file = place / "requirements.lock"
    file.write_text(text, encoding="utf-8")
    return _call([*installer, *STRICT, "-r", str(file)], lock)


def _call(command: Sequence[str], lock: int) -> bool:
    """Run a command, its output on standard error; tell whether it went well."""
    patience = PATIENCE if CPU_INDEX in command else {}
    done = subprocess.run(
        command,
        stdout=2,
        env=_inside() | patience,
        pass_fds=[lock],
        check=False,
    )
    return done.returncode == 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
