"""A training that is killed ends as if it had not been."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGES = {"train": "dense", "recover": "recovered"}


def start(folder: Path, stage: str) -> subprocess.Popen[str]:
    command = [sys.executable, f"{stage}.py"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=STAGES)
def unfinished(
    request: pytest.FixtureRequest, pipeline: Path, tmp_path: Path
) -> tuple[Path, str]:
    """A copy of the pipeline in which one stage has not run."""
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    shutil.rmtree(folder / "artifacts" / STAGES[request.param])
    return folder, request.param


def kill_after_a_save(folder: Path, stage: str) -> None:
    state = folder / "artifacts" / f"{stage}.state"
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = start(folder, stage)
    while process.poll() is None:
        if state.exists() and state.stat().st_mtime_ns != before:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_training_ends_with_the_same_weights(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    for _ in range(3):
        kill_after_a_save(folder, stage)
    done = start(folder, stage)
    out, _ = done.communicate()
    assert done.returncode == 0
    assert "going on after step" in out
    weights = Path("artifacts", STAGES[stage], "model.safetensors")
    assert (folder / weights).read_bytes() == (pipeline / weights).read_bytes()
    assert not (folder / "artifacts" / f"{stage}.state").exists()


def test_a_damaged_state_is_not_continued(
    pipeline: Path, unfinished: tuple[Path, str]
) -> None:
    folder, stage = unfinished
    (folder / "artifacts" / f"{stage}.state").write_bytes(b"garbage")
    process = start(folder, stage)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "is damaged: not continued" in out
    weights = Path("artifacts", STAGES[stage], "model.safetensors")
    assert (folder / weights).read_bytes() == (pipeline / weights).read_bytes()


def test_a_state_of_other_inputs_is_not_continued(unfinished: tuple[Path, str]) -> None:
    folder, stage = unfinished
    kill_after_a_save(folder, stage)
    script = folder / f"{stage}.py"
    script.write_text(
        script.read_text().replace("WEIGHT_DECAY = 0.1", "WEIGHT_DECAY = 0.2")
    )
    out, _ = start(folder, stage).communicate()
    assert "of another script or other inputs: not continued" in out
    assert "wrote" in out
