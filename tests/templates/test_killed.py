"""A training that is killed ends as if it had not been."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

QUICK, SLOW = "SAVE_MINUTES = 5.0", "SAVE_MINUTES = 0.0"
Run = Callable[[Path, str], str]
STAGES = {"train": "dense", "recover": "recovered"}


def start(folder: Path, stage: str) -> subprocess.Popen[str]:
    command = [sys.executable, f"{stage}.py"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def unfinished(pipeline: Path, stage: str, root: Path) -> Path:
    """Copy the pipeline: one stage has not run there, and saves every step."""
    folder = shutil.copytree(pipeline, root / "copy")
    edit(folder, "training.py", QUICK, SLOW)
    shutil.rmtree(folder / "artifacts" / STAGES[stage])
    return folder


@pytest.fixture(scope="module")
def once(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which train was killed after a save: recover has the same loop."""
    folder = unfinished(pipeline, "train", tmp_path_factory.mktemp("killed"))
    assert kill_after_a_save(folder, "train") == -signal.SIGKILL
    return folder


@pytest.fixture
def killed(once: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to go on with."""
    return shutil.copytree(once, tmp_path / "killed")


def states(folder: Path, stage: str) -> list[Path]:
    return sorted((folder / "artifacts").glob(f"{stage}.*.state"))


def kill_after_a_save(folder: Path, stage: str, how: int = signal.SIGKILL) -> int:
    before = [state.stat().st_mtime_ns for state in states(folder, stage)]
    process = start(folder, stage)
    while process.poll() is None:
        if [state.stat().st_mtime_ns for state in states(folder, stage)] != before:
            break
        time.sleep(0.001)
    process.send_signal(how)
    process.communicate()
    return process.returncode


@pytest.fixture
def run(
    run_here: Callable[[Path, str], str], capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a stage to its end, without a state for every step: that takes most of the time."""

    def run_out(folder: Path, stage: str) -> str:
        training = folder / "training.py"
        training.write_text(training.read_text().replace(SLOW, QUICK))
        assert run_here(folder, stage) == ""
        return capsys.readouterr().out

    return run_out


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def weights_of(folder: Path, stage: str) -> bytes:
    return (folder / "artifacts" / STAGES[stage] / "model.safetensors").read_bytes()


def test_a_training_that_was_killed_twice_ends_with_the_same_weights(
    pipeline: Path, killed: Path, run: Run
) -> None:
    assert kill_after_a_save(killed, "train") == -signal.SIGKILL
    ends_alike(pipeline, killed, "train", run)


def test_a_killed_recovery_ends_with_the_same_weights(
    pipeline: Path, tmp_path: Path, run: Run
) -> None:
    folder = unfinished(pipeline, "recover", tmp_path)
    assert kill_after_a_save(folder, "recover") == -signal.SIGKILL
    ends_alike(pipeline, folder, "recover", run)


def ends_alike(pipeline: Path, folder: Path, stage: str, run: Run) -> None:
    assert "going on after step" in run(folder, stage)
    assert weights_of(folder, stage) == weights_of(pipeline, stage)
    assert not states(folder, stage)
    log = f"artifacts/{stage}.jsonl"
    assert (folder / log).read_text() == (pipeline / log).read_text()


def test_a_training_that_is_told_to_end_saves_its_last_step(
    pipeline: Path, tmp_path: Path, run: Run
) -> None:
    folder = unfinished(pipeline, "train", tmp_path)
    assert kill_after_a_save(folder, "train", signal.SIGTERM) == 128 + signal.SIGTERM
    (line, *_) = re.findall(r"going on after step (\d+)", run(folder, "train"))
    assert int(line) >= 1
    assert weights_of(folder, "train") == weights_of(pipeline, "train")


def test_a_damaged_state_is_not_continued(
    pipeline: Path, killed: Path, run: Run
) -> None:
    (state,) = states(killed, "train")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert "is damaged: not continued" in run(killed, "train")
    assert weights_of(killed, "train") == weights_of(pipeline, "train")


def test_a_state_that_nothing_is_known_of_may_hold_anything(
    killed: Path, run_here: Run
) -> None:
    (state,) = states(killed, "train")
    (killed / "artifacts" / "files.json").unlink()
    state.write_bytes(state.read_bytes()[:1000])
    remedy = f"artifacts/{state.name} is damaged: remove it to start anew"
    assert run_here(killed, "train") == f"train.py: {remedy}"


def test_a_run_goes_on_where_only_the_way_of_computing_changed(
    killed: Path, run: Run
) -> None:
    edit(killed, "train.py", "MICRO_BATCH = 8", "MICRO_BATCH = 2")
    edit(killed, "training.py", "SAVE_MINUTES = 0.0", "SAVE_MINUTES = 1.0")
    assert "going on after step" in run(killed, "train")


def test_the_state_of_another_run_is_kept_for_it(
    pipeline: Path, killed: Path, run: Run
) -> None:
    (state,) = states(killed, "train")
    edit(killed, "training.py", "WEIGHT_DECAY = 0.1", "WEIGHT_DECAY = 0.2")
    assert "is of another run: kept, not continued" in run(killed, "train")
    assert states(killed, "train") == [state]
    assert weights_of(killed, "train") != weights_of(pipeline, "train")
    edit(killed, "training.py", "WEIGHT_DECAY = 0.2", "WEIGHT_DECAY = 0.1")
    assert "going on after step" in run(killed, "train")
    assert weights_of(killed, "train") == weights_of(pipeline, "train")
