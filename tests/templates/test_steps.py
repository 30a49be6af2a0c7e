"""Pruning in steps, and lottery tickets: what recovery takes away, and what it begins with."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, built, write_texts

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file
Matrices = dict[str, Any]  # tensors
RunHere = Callable[[Path, str], str]

RECOVER = "{tokens: 10k, learning_rate: 3e-3}"
GROUPS = "  pattern: 2:8\n  steps: 3\n  exempt: [k_proj]\n"
SHARES = "  pattern: unstructured\n  ratio: 0.8\n  steps: 4\n"


@pytest.fixture
def make(tmp_path: Path, run_here: RunHere) -> Callable[..., Path]:
    """Build a spec with such a sparsity, and run it up to the recovery."""

    def build(sparsity: str, recovery: str = RECOVER) -> Path:
        write_texts(tmp_path)
        text = TINY.replace("  pattern: 2:4\n", sparsity).replace("20k", "5k")
        text = text.replace(RECOVER, recovery)
        assert sparsity in text
        assert recovery in text
        (tmp_path / "spec.yaml").write_text(text)
        folder = built(tmp_path / "spec.yaml")
        for stage in ("data", "train", "prune", "recover"):
            assert run_here(folder, stage) == ""
        return folder

    return build


def matrices(folder: Path, checkpoint: str) -> Matrices:
    weights = load_file(folder / "artifacts" / checkpoint / "model.safetensors")
    return {name: w for name, w in weights.items() if name.endswith("_proj.weight")}


def test_groups_lose_their_weights_one_after_the_other(
    make: Callable[..., Path],
) -> None:
    folder = make(GROUPS)
    first, last = matrices(folder, "sparse"), matrices(folder, "recovered")
    for name, matrix in last.items():
        counts = [(m == 0).unflatten(1, (-1, 8)).sum(2) for m in (first[name], matrix)]
        expected = (0, 0) if "k_proj" in name else (2, 6)
        for count, zeros in zip(counts, expected, strict=True):
            assert (count == zeros).all(), name
        assert not matrix[first[name] == 0].any()


def test_shares_grow_to_the_ratio_and_a_kill_changes_nothing(
    make: Callable[..., Path], run_here: RunHere
) -> None:
    folder = make(SHARES)
    whole = matrices(folder, "recovered")
    for name, matrix in matrices(folder, "sparse").items():
        assert abs((matrix == 0).float().mean() - 0.4625) < 0.01, name
        assert abs((whole[name] == 0).float().mean() - 0.8) < 1e-3, name
        assert not whole[name][matrix == 0].any()
    training = folder / "training.py"
    text = training.read_text()
    assert "SAVE_MINUTES = 5.0" in text
    training.write_text(text.replace("SAVE_MINUTES = 5.0", "SAVE_MINUTES = 0.0"))
    for _ in range(3):  # in different parts of the training
        process = subprocess.Popen([sys.executable, "recover.py"], cwd=folder)
        before = newest_state(folder)
        while process.poll() is None and newest_state(folder) < before + 10**8:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    training.write_text(text)
    assert run_here(folder, "recover") == ""
    for name, matrix in matrices(folder, "recovered").items():
        assert torch.equal(matrix, whole[name]), name


def test_a_ticket_is_the_early_weights_where_the_late_ones_stay(
    make: Callable[..., Path],
) -> None:
    folder = make("  pattern: 2:4\n", "{rewind: 0.2, tokens: 1k, learning_rate: 1e-9}")
    early, late = matrices(folder, "early"), matrices(folder, "dense")
    pruned = matrices(folder, "sparse")
    for name, matrix in matrices(folder, "recovered").items():
        assert not torch.equal(early[name], late[name])
        ticket = early[name].masked_fill(pruned[name] == 0, 0)
        assert torch.allclose(matrix, ticket, atol=1e-6), name


def newest_state(folder: Path) -> int:
    """When the newest state was saved, in nanoseconds; now, where there is none."""
    states = list((folder / "artifacts").glob("recover.*.state"))
    return max((s.stat().st_mtime_ns for s in states), default=time.time_ns())
