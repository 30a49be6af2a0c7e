"""A checkpoint that somebody else trained: what is wrong with it is a line, and a kill costs little."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Leangen, write_texts

safetensors = pytest.importorskip("safetensors.numpy")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("torch")

LAYERS = 6
CONFIG = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "dtype": "float16",
}
PAGE = """\
leangen: 1
name: given
model: {checkpoint: model}
data: {source: text, path: "corpus/*.txt"}
sparsity: {pattern: 2:4, method: wanda, calibration_sequences: 8}
quantization: {weights: 4, group_size: 16}
target: {hardware: x86-2core, context: 64}
serve: {device: cpu}
"""
PRUNING = ("prune", "sparse")  # a stage, and the checkpoint that it makes
BY_LAYERS = PAGE.replace("wanda", "wanda, recover: {scope: layers, tokens: 4k}")
PRUNED = "sparsity: {pattern: 2:4, method: wanda, calibration_sequences: 8}\n"
FITTED = "group_size: 16, method: gptq, calibration_sequences: 8"
ON_GRID = PAGE.replace(PRUNED, "").replace("group_size: 16", FITTED)
EMBEDDING = "model.embed_tokens.weight"
Weights = dict[str, np.ndarray]
Run = Callable[[Path, str], str]


def weights_of() -> Weights:
    random = np.random.default_rng(0)
    shapes = {EMBEDDING: (512, 64), "model.norm.weight": (64,)}
    layer = {
        "self_attn.q_proj": (64, 64),
        "self_attn.k_proj": (32, 64),
        "self_attn.v_proj": (32, 64),
        "self_attn.o_proj": (64, 64),
        "mlp.gate_proj": (96, 64),
        "mlp.up_proj": (96, 64),
        "mlp.down_proj": (64, 96),
        "input_layernorm": (64,),
        "post_attention_layernorm": (64,),
    }
    for i in range(LAYERS):
        named = {f"model.layers.{i}.{name}.weight": s for name, s in layer.items()}
        shapes |= named
    return {n: random.normal(0, 0.1, s).astype(np.float16) for n, s in shapes.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A project around a random model, its text in tokens."""
    root = tmp_path_factory.mktemp("given")
    write_texts(root)
    (root / "spec.yaml").write_text(PAGE)
    (root / "model").mkdir()
    (root / "model" / "config.json").write_text(json.dumps(CONFIG))
    safetensors.save_file(weights_of(), root / "model" / "model.safetensors")
    learn(root / "model" / "tokenizer.json", root / "corpus", 512)
    done = leangen("build", "spec.yaml", cwd=root)
    assert done.returncode == 0, done.stderr
    run_apart(root, "data")
    return root


def learn(file: Path, corpus: Path, size: int) -> None:
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    texts = [str(text) for text in corpus.iterdir()]
    tokenizer.train(texts, vocab_size=size, show_progress=False)
    tokenizer.save(str(file))


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "project")


def start(root: Path, stage: str) -> subprocess.Popen[str]:
    script = root / "generated" / "given" / f"{stage}.py"
    command = [sys.executable, str(script)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def run_apart(root: Path, stage: str) -> None:
    """Run a stage in a process of its own: it comes to its end, and complains of nothing."""
    process = start(root, stage)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.fixture
def run(run_here: Callable[[Path, str], str]) -> Run:
    """Run a stage: the line that says what went wrong."""
    return lambda root, stage: run_here(root / "generated" / "given", stage)


def contents(root: Path, name: str) -> dict[str, bytes]:
    folder = root / "generated" / "given" / "artifacts" / name
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edit(root: Path, name: str, old: str, new: str) -> None:
    file = root / "generated" / "given" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def slow(root: Path) -> None:
    """Let each layer take long enough to be killed in."""
    edit(
        root,
        "progress.py",
        "    progress = ",
        "    time.sleep(0.1)\n    progress = ",
    )
    edit(root, "progress.py", "import os\n", "import os\nimport time\n")


def layers_done(root: Path, checkpoint: str) -> int:
    progress = root / f"generated/given/artifacts/.{checkpoint}.partial.json"
    try:
        return int(json.loads(progress.read_text())["layers"])
    except FileNotFoundError:
        return 0


def kill_after(root: Path, layers: int, making: tuple[str, str] = PRUNING) -> None:
    stage, checkpoint = making
    process = start(root, stage)
    while process.poll() is None and layers_done(root, checkpoint) < layers:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("page", "making", "shard", "files"),
    [
        (PAGE, PRUNING, "100_000", 8),
        (BY_LAYERS, ("recover", "recovered"), "5_000_000_000", 3),
        (ON_GRID, ("quantize", "quantized"), "5_000_000_000", 3 + 7 * LAYERS),
    ],
    ids=["pruning, in shards", "recovery by layers", "a fit, with scales"],
)
def test_what_goes_layer_by_layer_ends_with_the_same_bytes_if_killed(
    project: Path,
    leangen: Leangen,
    run: Run,
    page: str,
    making: tuple[str, str],
    shard: str,
    files: int,
) -> None:
    stage, checkpoint = making
    (project / "spec.yaml").write_text(page)
    assert leangen("build", "spec.yaml", cwd=project).returncode == 0
    edit(project, "layout.py", "5_000_000_000", shard)
    for needed in ("data", "prune") if stage == "recover" else ():
        assert run(project, needed) == ""
    slow(project)
    assert run(project, stage) == ""
    expected = contents(project, checkpoint)
    assert len(expected) == files
    shutil.rmtree(project / f"generated/given/artifacts/{checkpoint}")
    for layers in range(1, LAYERS) if making == PRUNING else (3,):
        kill_after(project, layers, making)
        assert layers <= layers_done(project, checkpoint) < LAYERS
    assert run(project, stage) == ""
    assert contents(project, checkpoint) == expected
    left = (project / "generated/given/artifacts").glob(f".{checkpoint}*")
    assert not list(left)


@pytest.mark.parametrize("change", ["text", "script", "weights"])
def test_what_another_pruning_left_is_not_continued(
    project: Path, change: str, run: Run
) -> None:
    slow(project)
    kill_after(project, 3)
    if change == "text":
        shutil.copy(project / "other.txt", project / "corpus" / "argparse.txt")
        assert run(project, "data") == ""
    elif change == "script":
        edit(project, "architecture.py", "SEQUENCE_LENGTH = 64", "SEQUENCE_LENGTH = 32")
    else:
        safetensors.save_file(
            {name: weight * 2 for name, weight in weights_of().items()},
            project / "model" / "model.safetensors",
        )
    assert run(project, "prune") == ""
    found = contents(project, "sparse")
    shutil.rmtree(project / "generated/given/artifacts/sparse")
    assert run(project, "prune") == ""
    assert contents(project, "sparse") == found


def test_what_is_left_of_two_runs_is_not_mixed(project: Path, run: Run) -> None:
    slow(project)
    kill_after(project, 3)
    edit(project, "prune.py", "KEPT = 2", "KEPT = 1")
    kill_after(project, 1)
    edit(project, "prune.py", "KEPT = 1", "KEPT = 2")
    assert run(project, "prune") == ""
    found = contents(project, "sparse")
    shutil.rmtree(project / "generated/given/artifacts/sparse")
    assert run(project, "prune") == ""
    assert contents(project, "sparse") == found


def test_a_killed_export_ends_with_the_same_bytes(project: Path, run: Run) -> None:
    run_apart(project, "prune")
    started = time.perf_counter()
    run_apart(project, "export")
    took = time.perf_counter() - started
    expected = contents(project, "onnx")
    shutil.rmtree(project / "generated/given/artifacts/onnx")
    for instant in (0.2, 0.5, 0.7, 0.85, 0.95):
        process = start(project, "export")
        time.sleep(took * instant)
        process.kill()
        process.communicate()
    assert run(project, "export") == ""
    assert contents(project, "onnx") == expected


def spoil(project: Path, change: Callable[[Weights], object]) -> None:
    weights = weights_of()
    change(weights)
    safetensors.save_file(weights, project / "model" / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w["model.layers.3.mlp.up_proj.weight"].fill(np.inf),
            "is not finite",
        ),
        (lambda w: w[EMBEDDING].fill(0), "holds zeros alone"),
        (lambda w: w.pop("model.norm.weight"), "model.norm.weight is missing in"),
        (lambda w: w.update(more=np.ones(3)), "more in "),
        (
            lambda w: w.update({EMBEDDING: np.ones((9, 64))}),
            "is F64, not F32, F16, BF16",
        ),
        (
            lambda w: w.update({EMBEDDING: np.ones((9, 64), np.float32)}),
            "is (9, 64), not (512, 64)",
        ),
    ],
)
def test_weights_that_are_not_the_models_are_one_line(
    change: Callable[[Weights], object], message: str, project: Path, run: Run
) -> None:
    spoil(project, change)
    found = run(project, "prune")
    assert message in found
    assert found.endswith(": see model.checkpoint, or fetch the model again")


@pytest.mark.parametrize("start", [b"", b"\x00" * 9, b"\xff" * 40, b"PK\x03\x04" * 9])
def test_a_file_of_weights_may_hold_anything(
    start: bytes, project: Path, run: Run
) -> None:
    (project / "model" / "model.safetensors").write_bytes(start)
    assert "is damaged, cut off, or no safetensors file" in run(project, "prune")


def test_a_cut_off_file_and_a_missing_one(project: Path, run: Run) -> None:
    file = project / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert "is damaged, cut off" in run(project, "prune")
    file.unlink()
    assert "model.safetensors is missing" in run(project, "prune")
    index = file.with_name("model.safetensors.index.json")
    index.write_text('{"weight_map": {"a": "../../x"}}')
    assert "model.safetensors.index.json is damaged" in run(project, "prune")


def test_a_pruned_checkpoint_that_was_copied_in(project: Path, run: Run) -> None:
    """Nothing was noted of it: its reader judges it, and names who makes it."""
    assert run(project, "prune") == ""
    artifacts = project / "generated/given/artifacts"
    (artifacts / "files.json").unlink()
    file = artifacts / "sparse" / "model.safetensors"
    whole = file.read_bytes()
    for content in (whole[:-1], b"{}", whole.replace(b"mlp.up_proj", b"mlp.uq_proj")):
        file.write_bytes(content)
        assert run(project, "export").endswith(": run prune.py again")
    zeros = {name: np.zeros_like(w) for name, w in weights_of().items()}
    safetensors.save_file(zeros, file)
    found = run(project, "export")
    assert "holds zeros alone: run prune.py again" in found


def test_a_tokenizer_of_another_model(project: Path, run: Run) -> None:
    learn(project / "model" / "tokenizer.json", project / "corpus", 600)
    assert "is of another model: 600 tokens, not 512" in run(project, "data")
    (project / "model" / "tokenizer.json").write_text("{}")
    assert "is no tokenizer" in run(project, "data")


def test_other_weights_in_the_folder_are_run_again(
    project: Path, leangen: Leangen
) -> None:
    assert leangen("run", "spec.yaml", "--until", "export", cwd=project).returncode == 0
    again = ("run", "spec.yaml", "--until", "export", "--dry-run")
    done = leangen(*again, cwd=project)
    assert done.stdout.count("would be skipped") == 3
    weights = weights_of()
    weights[EMBEDDING] *= 2
    safetensors.save_file(weights, project / "model" / "model.safetensors")
    done = leangen(*again, cwd=project)
    reason = "its input ../../model/model.safetensors changed"
    assert f"given: prune: would run: {reason}" in done.stdout
