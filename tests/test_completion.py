"""Completion in shells, asked as a user asks: a real shell at a terminal, and the Tab key."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

PROMPT = "ready> "
PATIENCE = 60  # seconds: the machine may be busy
SET_UP = 'eval "$(_LEANGEN_COMPLETE=source_{shell} leangen)"\n'
SHELLS = {
    "bash": (["bash", "--noprofile", "--rcfile", ".bashrc", "-i"], ".bashrc", SET_UP),
    "zsh": (["zsh", "-i"], ".zshrc", f"autoload -U compinit; compinit -u -D\n{SET_UP}"),
}
TYPED = {
    "leangen che\t": "leangen check ",
    "leangen explain sparsity.p\t": "leangen explain sparsity.pattern ",
    "leangen explain sparsity.\t\t": "sparsity.calibration_sequences",
    "leangen plan --meas\t": "leangen plan --measured ",
    "leangen list ha\t": "leangen list hardware ",
    "leangen check ot\t": "leangen check other.yaml ",
    "leangen explain sparsity.pattern ot\t": "leangen explain sparsity.pattern other.yaml ",
    "leangen explain gen\t": "leangen explain generated/",
    "leangen eject other.yaml pru\t": "leangen eject other.yaml prune.py ",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, and the command."""
    tool = tmp_path / "bin" / "leangen"
    tool.parent.mkdir()
    tool.write_text(f"#!{sys.executable}\nfrom leangen.cli import main\nmain()\n")
    tool.chmod(0o755)
    (tmp_path / "other.yaml").touch()
    (tmp_path / "generated").mkdir()
    return tmp_path


def start(shell: str, folder: Path) -> tuple[int, int]:
    """Start a shell that completes leangen; return its process and its terminal."""
    command, rc, text = SHELLS[shell]
    (folder / rc).write_text(text.format(shell=shell) + f"PS1='{PROMPT}'\n")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TERM": "dumb", "ZDOTDIR": str(folder)}
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, env)
    return process, terminal


def read_until(terminal: int, wanted: str) -> str:
    """Read what a shell shows until a text is there, or there is nothing more to come."""
    shown, end = "", time.monotonic() + PATIENCE
    while wanted not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
            shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown)
    return shown


@pytest.mark.parametrize("typed", TYPED, ids=lambda typed: typed.strip())
@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes(shell: str, typed: str, folder: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    process, terminal = start(shell, folder)
    try:
        assert PROMPT in read_until(terminal, PROMPT)
        os.write(terminal, typed.encode())
        assert TYPED[typed] in read_until(terminal, TYPED[typed])
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
