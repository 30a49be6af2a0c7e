"""A training that is killed ends as if it had not been."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

QUICK, SLOW = "SAVE_MINUTES = 5.0", "SAVE_MINUTES = 0.0"
STAGES = {"train": "dense", "recover": "recovered"}


def start(folder: Path, stage: str) -> subprocess.Popen[str]:
    command = [sys.executable, f"{stage}.py"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["train"])  # both have one loop, and its states
def unfinished(
    request: pytest.FixtureRequest, pipeline: Path, tmp_path: Path
) -> tuple[Path, str]:
    """A copy of the pipeline in which one stage has not run, and saves every step."""
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    edit(folder, "training.py", QUICK, SLOW)
    shutil.rmtree(folder / "artifacts" / STAGES[request.param])
    return folder, request.param


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


def run(folder: Path, stage: str) -> str:
    """Run a stage to its end, without a state for every step: that takes most of the time."""
    training = folder / "training.py"
    training.write_text(training.read_text().replace(SLOW, QUICK))
    process = start(folder, stage)
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def weights_of(folder: Path, stage: str) -> bytes:
    return (folder / "artifacts" / STAGES[stage] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("unfinished", STAGES, indirect=True)
def test_a_killed_training_ends_with_the_same_weights(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    for _ in range(3):
        assert kill_after_a_save(folder, stage) == -signal.SIGKILL
    assert "going on after step" in run(folder, stage)
    assert weights_of(folder, stage) == weights_of(pipeline, stage)
    assert not states(folder, stage)
    log = f"artifacts/{stage}.jsonl"
    assert (folder / log).read_text() == (pipeline / log).read_text()


def test_a_training_that_is_told_to_end_saves_its_last_step(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    assert kill_after_a_save(folder, stage, signal.SIGTERM) == 128 + signal.SIGTERM
    (line, *_) = re.findall(r"going on after step (\d+)", run(folder, stage))
    assert int(line) >= 1
    assert weights_of(folder, stage) == weights_of(pipeline, stage)


def test_a_damaged_state_is_not_continued(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    kill_after_a_save(folder, stage)
    (state,) = states(folder, stage)
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert "is damaged: not continued" in run(folder, stage)
    assert weights_of(folder, stage) == weights_of(pipeline, stage)


def test_a_state_that_nothing_is_known_of_may_hold_anything(
    unfinished: tuple[Path, str],
) -> None:
    folder, stage = unfinished
    kill_after_a_save(folder, stage)
    (state,) = states(folder, stage)
    (folder / "artifacts" / "files.json").unlink()
    state.write_bytes(state.read_bytes()[:1000])
    command = [sys.executable, f"{stage}.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    remedy = f"artifacts/{state.name} is damaged: remove it to start anew\n"
    assert done.stderr == f"{stage}.py: {remedy}"


def test_a_run_goes_on_where_only_the_way_of_computing_changed(
    unfinished: tuple[Path, str],
) -> None:
    folder, stage = unfinished
    kill_after_a_save(folder, stage)
    edit(folder, f"{stage}.py", "MICRO_BATCH = 8", "MICRO_BATCH = 2")
    edit(folder, "training.py", "SAVE_MINUTES = 0.0", "SAVE_MINUTES = 1.0")
    assert "going on after step" in run(folder, stage)


def test_the_state_of_another_run_is_kept_for_it(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    kill_after_a_save(folder, stage)
    (state,) = states(folder, stage)
    edit(folder, "training.py", "WEIGHT_DECAY = 0.1", "WEIGHT_DECAY = 0.2")
    assert "is of another run: kept, not continued" in run(folder, stage)
    assert states(folder, stage) == [state]
    assert weights_of(folder, stage) != weights_of(pipeline, stage)
    edit(folder, "training.py", "WEIGHT_DECAY = 0.2", "WEIGHT_DECAY = 0.1")
    assert "going on after step" in run(folder, stage)
    assert weights_of(folder, stage) == weights_of(pipeline, stage)
