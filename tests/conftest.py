"""Small pipelines that tests share: built and run once, through the command."""

import fcntl
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from leangen.generator.open import open_projects
from leangen.generator.project import write_project

# A shell that runs the tests in the background has what they start ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

Leangen = Callable[..., subprocess.CompletedProcess[str]]
TINY = """
leangen: 1
name: tiny
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 64
data: {source: text, path: "corpus/*.txt", out_of_sample: other.txt}
train: {tokens: 20k, batch_size: 8, learning_rate: 1e-2}
sparsity:
  pattern: 2:4
  recover: {tokens: 10k, learning_rate: 3e-3}
quantization: {weights: 4, group_size: 16, arithmetic: float32}
evaluate: {tokens: 4k}
target: {hardware: x86-2core, context: 64}
"""


@pytest.fixture(scope="session")
def leangen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leangen]:
    """Run the command in a folder, in a process that does not load it anew."""
    loaded = subprocess.Popen(
        [sys.executable, "-P", Path(__file__).with_name("forking.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path_factory.mktemp("streams")
    streams = [folder / name for name in ("in", "out", "err")]

    def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        for file in streams:
            file.write_text("")
        asked = {
            "arguments": words,
            "cwd": str(cwd),
            "environ": {**os.environ},
            "streams": [*map(str, streams)],
        }
        assert loaded.stdin and loaded.stdout
        print(json.dumps(asked), file=loaded.stdin, flush=True)
        code = int(loaded.stdout.readline())
        out, err = (file.read_text() for file in streams[1:])
        return subprocess.CompletedProcess(words, code, out, err)

    with loaded:
        yield call


def built(spec: Path) -> Path:
    """Write the scripts of a spec beside it, as `leangen build` does; return their folder.

    For tests of what the scripts do: a process costs seven times as much.
    """
    (project,) = open_projects([spec], spec.parent / "generated")
    write_project(project, force=False)
    return project.folder


def write_texts(folder: Path) -> None:
    """Write real text: two modules of the standard library to learn from, one not."""
    library = Path(subprocess.__file__).parent
    (folder / "corpus").mkdir()
    for name in ("argparse", "subprocess"):
        text = (library / f"{name}.py").read_text()
        (folder / "corpus" / f"{name}.txt").write_text(text)
    (folder / "other.txt").write_text((library / "this.py").read_text() * 4)


@pytest.fixture(scope="session")
def run_pipeline(
    tmp_path_factory: pytest.TempPathFactory, leangen: Leangen
) -> Callable[[str], Path]:
    """Build a spec and run all its stages up to the report; return its folder."""
    pytest.importorskip("torch")  # tests of leangen alone have none

    def run(text: str) -> Path:
        root = tmp_path_factory.mktemp("project")
        write_texts(root)
        (root / "spec.yaml").write_text(text)
        folder = built(root / "spec.yaml")
        done = leangen("run", "spec.yaml", cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return run


@pytest.fixture(scope="session")
def run_once(
    tmp_path_factory: pytest.TempPathFactory, run_pipeline: Callable[[str], Path]
) -> Callable[[str], Path]:
    """Run a spec in the first of the tests' processes that asks for it; the others copy it."""

    def run(text: str) -> Path:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            return run_pipeline(text)
        name = str(yaml.safe_load(text)["name"])
        made = tmp_path_factory.getbasetemp().parent / name  # what all processes see
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.copytree(run_pipeline(text).parents[1], made)
        root = shutil.copytree(made, tmp_path_factory.mktemp(name) / "project")
        return root / "generated" / name

    return run


@pytest.fixture(scope="session")
def pipeline(run_once: Callable[[str], Path]) -> Path:
    """The folder of a tiny model: bytes, 2:4 Wanda, recovery, 4 bits."""
    return run_once(TINY)


@pytest.fixture(scope="session")
def bpe_pipeline(run_once: Callable[[str], Path]) -> Path:
    """The folder of a tiny dense model: BPE, tied embeddings, plain attention, 8 bits."""
    text = TINY.replace("name: tiny", "name: tiny-bpe\ntokenizer: {bpe: 320}")
    text = text.replace("model:\n", "model:\n  tie_word_embeddings: true\n")
    text = text.replace("num_key_value_heads: 2", "num_key_value_heads: 4")
    text = text.replace("weights: 4", "weights: 8").replace(
        "pattern: 2:4", "pattern: dense"
    )
    return run_once("\n".join(x for x in text.splitlines() if "recover:" not in x))


@pytest.fixture
def modules() -> Callable[[Path], SimpleNamespace]:
    """Import a folder's modules and scripts as they import each other, without running any."""

    def load(folder: Path) -> SimpleNamespace:
        names = [file.stem for file in folder.glob("*.py")]
        for name in names:  # which another folder may have left
            sys.modules.pop(name, None)
        sys.path.insert(0, str(folder))
        try:
            found = {name: importlib.import_module(name) for name in names}
        finally:
            sys.path.remove(str(folder))
            for name in names:
                sys.modules.pop(name, None)
        return SimpleNamespace(**found)

    return load
