"""What every script does around its work: one at a time, and endings in a line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import built

Leangen = Callable[..., subprocess.CompletedProcess[str]]
PAGE = """\
leangen: 1
name: texts
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 64
target: {hardware: x86-2core, context: 64}
data: {source: text, path: "corpus/*.txt"}
"""
TAKEN = """\
data.py: another script, or leangen, is at work here: wait for the process that \
artifacts/run.lock names, or stop it
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The built folder of a spec with a text to read."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("some text\n" * 1000)
    (tmp_path / "spec.yaml").write_text(PAGE)
    return built(tmp_path / "spec.yaml")


def data(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "data.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


@contextmanager
def at_work(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a copy of data.py that waits for a line before it works."""
    script = (folder / "data.py").read_text()
    start = "def main() -> None:\n"
    waiting = script.replace(
        start, f"{start}    print('up', flush=True)\n    input()\n"
    )
    (folder / "slow.py").write_text(waiting)
    process = subprocess.Popen(
        [sys.executable, "slow.py"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        (folder / "slow.py").unlink()  # which leangen did not write
        yield process
    finally:
        process.kill()
        process.communicate()


def test_one_script_works_at_a_time(folder: Path, leangen: Leangen) -> None:
    with at_work(folder) as first:
        second = data(folder)
        assert (second.returncode, second.stdout, second.stderr) == (1, "", TAKEN)
        run = leangen("run", "spec.yaml", "--until", "data", cwd=folder.parents[1])
        assert run.returncode == 1
        assert f"wait for process {first.pid}, or stop it" in run.stderr
        first.communicate("go on\n")
        assert first.returncode == 0
    assert data(folder).returncode == 0


def test_a_killed_script_leaves_the_folder_to_others(folder: Path) -> None:
    with at_work(folder) as first:
        first.kill()
        first.wait()
        assert data(folder).returncode == 0


def test_scripts_that_start_at_once_lose_no_note(folder: Path) -> None:
    command = [sys.executable, "data.py"]
    for _ in range(5):
        both = [
            subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = {process.communicate()[1] for process in both}
        assert "" in errors
        assert errors <= {"", TAKEN}
    noted = json.loads((folder / "artifacts" / "files.json").read_text())
    written = sorted((folder / "artifacts" / "data").iterdir())
    assert {f"data/{file.name}" for file in written} < noted.keys()


def test_a_reader_that_leaves_ends_a_script_quietly(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "data.py"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == b""
    assert {path.name for path in (folder / "artifacts").iterdir()} == {"run.lock"}


@pytest.mark.parametrize("kind", ["file", "dangling link", "link"])
def test_artifacts_that_is_no_folder_is_one_line(folder: Path, kind: str) -> None:
    shutil.rmtree(folder / "artifacts")
    if kind == "file":
        (folder / "artifacts").touch()
    else:
        target = folder.parent if kind == "link" else folder / "nowhere"
        (folder / "artifacts").symlink_to(target)
    done = data(folder)
    assert (done.returncode, done.stdout) == (1, "")
    expected = "data.py: artifacts is no folder, but a file or a link: remove it\n"
    assert done.stderr == expected


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder; to stop root it takes a mount."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_for_reading_alone_is_noticed_before_the_work(folder: Path) -> None:
    with read_only(folder / "artifacts"):
        done = data(folder)
    assert (done.returncode, done.stdout) == (1, "")
    expected = "data.py: nothing can be written to artifacts/: see its permissions\n"
    assert done.stderr == expected


def test_an_empty_text_is_an_error_and_keeps_the_tokens(folder: Path) -> None:
    assert data(folder).returncode == 0
    tokens = folder / "artifacts" / "data" / "train.npy"
    before = tokens.read_bytes()
    corpus = folder.parents[1] / "corpus"
    (corpus / "a.txt").write_text("")
    done = data(folder)
    assert done.returncode == 1
    found = f"no file with text matches corpus/*.txt in {folder.parents[1]}"
    assert done.stderr == f"data.py: {found}: see the spec\n"
    (corpus / "a.txt").write_text("a")  # in the test's split, all of it
    done = data(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("data.py: there is no text for train: add some")
    assert done.stderr.count("\n") == 1
    assert tokens.read_bytes() == before


def test_an_empty_text_beside_others_is_none(folder: Path) -> None:
    assert data(folder).returncode == 0
    tokens = folder / "artifacts" / "data" / "train.npy"
    before = np.load(tokens)
    (folder.parents[1] / "corpus" / "b.txt").touch()
    assert data(folder).returncode == 0
    assert (np.load(tokens) == before).all()


def test_a_folder_in_place_of_a_text_is_explained(folder: Path) -> None:
    spec = folder.parents[1] / "spec.yaml"
    spec.write_text(PAGE.replace('"corpus/*.txt"', "corpus"))
    built(spec)
    done = data(folder)
    assert done.returncode == 1
    expected = "data.py: corpus is a folder: add /*.txt to it in the spec\n"
    assert done.stderr == expected
