"""What the scripts make, held against transformers, torch and ONNX Runtime."""

import ast
import importlib
import inspect
import json
import math
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from torch.nn.utils import prune as torch_prune
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.generator.stages import STAGES, Stage
from leangen.spec import load, loads
from tests.conftest import built, write_texts

Weights = dict[str, np.ndarray]
RunHere = Callable[[Path, str], str]
Modules = Callable[[Path], SimpleNamespace]
CHECKPOINTS = ["dense", "sparse", "recovered"]
CONTEXT = 64
GIVEN_BACK = """
leangen: 1
name: back
model: {checkpoint: model}
data: {source: text, path: "corpus/*.txt", out_of_sample: other.txt}
quantization: {weights: 8}
export: {formats: [gguf]}
target: {hardware: x86-2core, context: 64}
"""


def build_text(text: str) -> dict[str, str]:
    spec = loads(text, "spec.yaml")
    return build(spec, plan(spec))


def transformers_model(folder: Path) -> LlamaForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, LlamaForCausalLM)
    model.eval()  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def logits_of(model: torch.nn.Module, tokens: np.ndarray) -> np.ndarray:
    out = model(torch.from_numpy(tokens.astype(np.int64)))
    return (out if isinstance(out, torch.Tensor) else out.logits).numpy()


def some_tokens(folder: Path, length: int = CONTEXT) -> np.ndarray:
    tokens: np.ndarray = np.load(folder / "artifacts" / "data" / "test.npy")
    return tokens[None, :length]


def onnx_logits(file: Path, tokens: np.ndarray, steps: list[int]) -> np.ndarray:
    """Feed the tokens in steps of these lengths, with keys and values passed by hand."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    cache = {
        i.name: np.zeros((1, i.shape[1], CONTEXT, i.shape[3]), np.float32)
        for i in session.get_inputs()
        if i.name.startswith("past")
    }
    logits, length = [], 0
    for step in steps:
        feeds = {
            "input_ids": tokens[:, length : length + step].astype(np.int64),
            "logit_positions": np.arange(step),
            "seqlens_k": np.array([length + step - 1], np.int32),
            "total_sequence_length": np.array(length + step, np.int32),
        }
        outputs = dict(zip(names, session.run(None, feeds | cache), strict=True))
        logits.append(outputs["logits"])
        cache = {n: outputs[n.replace("past_key_values", "present")] for n in cache}
        length += step
    return np.concatenate(logits, axis=1)


def layer_matrices(weights: Weights) -> Weights:
    return {
        n: w
        for n, w in weights.items()
        if n.startswith("model.layers.") and w.ndim == 2
    }


def read_quantized(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Undo MatMulNBits's packing as its documentation has it: name -> levels, scales."""
    model = onnx.load(file)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    read = {}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            bits = next(a.i for a in node.attribute if a.name == "bits")
            packed, scales = (tensors[name] for name in node.input[1:])
            if bits == 4:
                packed = np.stack([packed & 15, packed >> 4], axis=-1).reshape(
                    *packed.shape[:2], -1
                )
            levels = packed.astype(np.float32) - 2 ** (bits - 1)
            read[node.input[1].removesuffix(".levels")] = levels, scales[..., None]
    return read


def dequantized(folder: Path, state: dict[str, torch.Tensor]) -> Weights:
    """Give the matrices as the exported graph has them; q, k and v lie in one."""
    found: Weights = {}
    quantized = read_quantized(folder / "artifacts/onnx/model.onnx")
    for first, (levels, scales) in quantized.items():
        packed = "qkv" if ".q_proj" in first else "q"
        names = [first.replace(".q_proj", f".{c}_proj") for c in packed]
        parts = np.cumsum([len(state[name]) for name in names])[:-1]
        rows = (levels * scales).reshape(len(levels), -1)
        found |= dict(zip(names, np.split(rows, parts), strict=True))
    return found


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_transformers_loads_a_checkpoint_and_agrees(
    pipeline: Path, checkpoint: str, modules: Modules
) -> None:
    tokens = some_tokens(pipeline)
    model = transformers_model(pipeline / "artifacts" / checkpoint)
    ours = modules(pipeline).tensors.load_model(checkpoint)
    assert abs(logits_of(ours, tokens) - logits_of(model, tokens)).max() < 1e-4


def test_a_tied_checkpoint_loads_and_agrees(
    bpe_pipeline: Path, modules: Modules
) -> None:
    folder = bpe_pipeline / "artifacts" / "dense"
    tokens = some_tokens(bpe_pipeline)
    model = transformers_model(folder)
    assert model.config.tie_word_embeddings
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    ours = modules(bpe_pipeline).tensors.load_model("dense")
    assert abs(logits_of(ours, tokens) - logits_of(model, tokens)).max() < 1e-4


@pytest.mark.parametrize("name", ["pipeline", "bpe_pipeline"])
def test_the_quantized_graph_computes_what_its_weights_say(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    checkpoint = "recovered" if name == "pipeline" else "dense"
    model = transformers_model(folder / "artifacts" / checkpoint)
    state = model.state_dict()
    for matrix, weight in dequantized(folder, state).items():
        state[matrix].copy_(torch.from_numpy(weight))
    if name == "pipeline":  # the head is tied in the other one
        embedding = model.model.embed_tokens.weight
        embedding.data = embedding.data.half().float()
    tokens = some_tokens(folder)
    expected = logits_of(model, tokens)
    got = onnx_logits(folder / "artifacts/onnx/model.onnx", tokens, [CONTEXT])
    assert np.linalg.norm(got - expected) < 1e-3 * np.linalg.norm(expected)


def test_logits_with_and_without_the_cache_agree(pipeline: Path) -> None:
    tokens, file = some_tokens(pipeline), pipeline / "artifacts/onnx/model.onnx"
    whole = onnx_logits(file, tokens, [CONTEXT])
    parts = onnx_logits(file, tokens, [20, 1, 1, 10, *[1] * 32])
    assert np.linalg.norm(whole - parts) < 1e-4 * np.linalg.norm(whole)


@pytest.mark.parametrize("checkpoint", ["sparse", "recovered"])
def test_every_group_of_four_has_two_zeros(pipeline: Path, checkpoint: str) -> None:
    weights = load_file(pipeline / "artifacts" / checkpoint / "model.safetensors")
    dense = load_file(pipeline / "artifacts" / "dense" / "model.safetensors")
    matrices = layer_matrices(weights)
    assert len(matrices) == 2 * 7
    for name, weight in matrices.items():
        assert ((weight.reshape(-1, 4) == 0).sum(axis=1) == 2).all(), name
        assert not (dense[name] == 0).any(), name


def test_quantization_keeps_the_zeros(pipeline: Path) -> None:
    weights = load_file(pipeline / "artifacts/recovered/model.safetensors")
    state = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    exported = dequantized(pipeline, state)
    for name, weight in layer_matrices(weights).items():
        assert (exported[name][weight == 0] == 0).all(), name


def test_recovery_only_moves_what_was_kept(pipeline: Path) -> None:
    sparse = load_file(pipeline / "artifacts/sparse/model.safetensors")
    recovered = load_file(pipeline / "artifacts/recovered/model.safetensors")
    for name, weight in layer_matrices(sparse).items():
        assert ((recovered[name] == 0) == (weight == 0)).all()
        assert (recovered[name] != weight).any()


def test_the_report_says_what_transformers_measures(pipeline: Path) -> None:
    report = json.loads((pipeline / "artifacts" / "report.json").read_text())
    tokens = np.load(pipeline / "artifacts/data/out_of_sample.npy")
    count = len(tokens) // (CONTEXT + 1)
    starts = np.linspace(0, len(tokens) - CONTEXT - 1, count, dtype=int)
    rows = np.stack([tokens[s : s + CONTEXT + 1] for s in starts]).astype(np.int64)
    for name in CHECKPOINTS:
        logits = logits_of(
            transformers_model(pipeline / "artifacts" / name), rows[:, :-1]
        )
        loss = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits).flatten(0, 1),
            torch.from_numpy(rows[:, 1:]).flatten(),
        )
        reported = report["models"][name]["perplexity"]["out_of_sample"]
        assert reported == pytest.approx(math.exp(loss), rel=1e-4)
    assert report["tokens"]["out_of_sample"] == count * CONTEXT
    assert report["context"] == CONTEXT


def test_the_report_tells_the_story(pipeline: Path) -> None:
    report = json.loads((pipeline / "artifacts" / "report.json").read_text())
    models = report["models"]
    assert list(models) == [*CHECKPOINTS, "exported"]
    perplexity = {
        name: figures["perplexity"]["test"] for name, figures in models.items()
    }
    assert perplexity["recovered"] < perplexity["sparse"]
    assert perplexity["dense"] < perplexity["sparse"]
    assert models["dense"]["zeros"] == 0
    assert models["sparse"]["zeros"] == models["recovered"]["zeros"] == 0.5
    assert models["exported"]["zeros"] >= 0.5
    assert models["exported"]["bytes"] < models["dense"]["bytes"] / 2
    text = (pipeline / "artifacts" / "report.md").read_text()
    for name in models:
        assert f"| {name} |" in text


def test_a_missed_gate_is_exit_code_1_and_the_report_is_there(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    (folder / "artifacts" / "report.json").unlink()
    script = (folder / "evaluate.py").read_text()
    assert "PERPLEXITY_RATIO" not in script
    spec = (
        pipeline.parents[1] / "spec.yaml"
    ).read_text() + "gates: {perplexity_ratio: 1}\n"
    files = build_text(spec)
    script = re.sub("TY_RATIO = .*", "TY_RATIO = 0.01", files["evaluate.py"])
    (folder / "evaluate.py").write_text(script)
    (folder / "report.py").write_text(files["report.py"])
    done = subprocess.run(
        [sys.executable, "evaluate.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(
        r"^evaluate.py: FAIL: perplexity ratio [\d.]+, at most 0.01$",
        done.stderr,
        re.MULTILINE,
    )
    gate = json.loads((folder / "artifacts/report.json").read_text())["gates"]
    assert gate["perplexity_ratio"]["limit"] == 0.01


def test_what_a_terminal_would_obey_is_spelled_in_the_report(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    artifacts = folder / "artifacts"
    (artifacts / "files.json").unlink()
    tokens = np.load(artifacts / "data/test.npy")
    tokens[1::2] = ord("\x1b")
    np.save(artifacts / "data/test.npy", tokens)
    done = run_script(folder, "evaluate")
    assert done.returncode == 0, done.stderr
    page = (artifacts / "report.md").read_text()
    for shown in (done.stdout, page):
        assert r"\x1b" in shown
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


def test_the_report_is_there_whatever_becomes_of_the_ledger(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    artifacts = folder / "artifacts"
    (artifacts / "report.json").unlink()
    (artifacts / "report.md").unlink()
    (artifacts / "ledger.json").rename(folder / "ledger.json")
    (artifacts / "ledger.json").symlink_to(folder / "ledger.json")
    done = run_script(folder, "evaluate")
    assert done.returncode == 1
    assert re.fullmatch("evaluate.py: artifacts/ledger.json leads.*\n", done.stderr)
    report = json.loads((artifacts / "report.json").read_text())
    assert "evaluate" in report["stages"]
    assert "| evaluate |" in (artifacts / "report.md").read_text()


def test_without_a_plan_the_report_repeats_no_earlier_run(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    (folder / "plan.json").unlink()
    assert run_script(folder, "evaluate").returncode == 0
    report = json.loads((folder / "artifacts/report.json").read_text())
    ledger = json.loads((folder / "artifacts/ledger.json").read_text())
    assert report["stages"] == ledger
    assert "evaluate" not in ledger
    assert "train" in ledger


def test_bpe_tokens_decode_to_the_text(bpe_pipeline: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bpe_pipeline / "artifacts" / "tokenizer.json"))
    tokens = np.load(bpe_pipeline / "artifacts/data/out_of_sample.npy")
    text = (bpe_pipeline.parents[1] / "other.txt").read_text()
    assert tokens[0] == tokenizer.token_to_id("<|endoftext|>")
    assert tokenizer.decode(tokens[1:].tolist(), skip_special_tokens=False) == text
    assert tokens.max() < 320
    assert tokenizer.encode(text).ids == tokens.tolist()  # who reads it needs no more


def test_a_trained_model_given_back_reads_text_as_before(
    bpe_pipeline: Path, tmp_path: Path, modules: Modules, run_here: RunHere
) -> None:
    write_texts(tmp_path)
    made = bpe_pipeline / "artifacts"
    shutil.copytree(made / "dense", tmp_path / "model")
    shutil.copy(made / "tokenizer.json", tmp_path / "model")
    (tmp_path / "spec.yaml").write_text(GIVEN_BACK)
    folder = built(tmp_path / "spec.yaml")
    assert run_here(folder, "data") == ""
    again = folder / "artifacts"
    for split in ("test", "out_of_sample"):
        expected, found = (np.load(a / f"data/{split}.npy") for a in (made, again))
        np.testing.assert_array_equal(found, expected)
    text = "naïve <|endoftext|>"
    theirs, ours = (modules(each) for each in (bpe_pipeline, folder))
    tokens = theirs.vocabulary.Vocabulary().encode(text)
    assert ours.vocabulary.Vocabulary().encode(text) == tokens
    known = ours.export_gguf.vocabulary()
    assert known["tokenizer.ggml.bos_token_id"] == tokens[0] == 0
    assert known["tokenizer.ggml.add_bos_token"]


def test_byte_tokens_are_the_text(pipeline: Path) -> None:
    tokens = np.load(pipeline / "artifacts/data/out_of_sample.npy")
    text = (pipeline.parents[1] / "other.txt").read_bytes()
    assert tokens[0] == 256
    assert bytes(tokens[1:].tolist()) == text


def test_no_text_is_in_two_splits(pipeline: Path) -> None:
    pieces = [
        np.load(pipeline / f"artifacts/data/{s}.npy") for s in ("train", "val", "test")
    ]
    corpus = sorted((pipeline.parents[1] / "corpus").iterdir())
    assert sum((p != 256).sum() for p in pieces) == sum(
        f.stat().st_size for f in corpus
    )


def run_script(folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"{stage}.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def variant(pipeline: Path, tmp_path: Path) -> Callable[..., Path]:
    """Render the tiny spec with one section replaced, beside copies of artifacts."""

    def make(section: str, text: str, *artifacts: str) -> Path:
        spec = (pipeline.parents[1] / "spec.yaml").read_text()
        pattern = rf"(?m)^{section}:.*\n(  .*\n)*"
        assert re.search(pattern, spec)
        spec = re.sub(pattern, f"{section}: {text}\n", spec)
        for name, content in build_text(spec).items():
            (tmp_path / name).write_text(content)
        for part in artifacts:
            source = pipeline / "artifacts" / part
            shutil.copytree(source, tmp_path / "artifacts" / part)
        return tmp_path

    return make


@pytest.fixture
def prune_with(
    variant: Callable[..., Path], run_here: RunHere
) -> Callable[[str], Weights]:
    """Prune the tiny dense model as another sparsity section says."""

    def prune(section: str) -> Weights:
        folder = variant("sparsity", section, "dense", "data")
        assert run_here(folder, "prune") == ""
        return layer_matrices(load_file(folder / "artifacts/sparse/model.safetensors"))

    return prune


@pytest.mark.parametrize("bits", [32, 16])
def test_floats_are_exported_as_they_are(
    pipeline: Path, variant: Callable[..., Path], bits: int, run_here: RunHere
) -> None:
    folder = variant("quantization", f"{{weights: {bits}}}", *CHECKPOINTS)
    assert run_here(folder, "export") == ""
    model = transformers_model(folder / "artifacts" / "recovered")
    if bits == 16:
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.data = parameter.data.half().float()
    tokens = some_tokens(pipeline)
    got = onnx_logits(folder / "artifacts/onnx/model.onnx", tokens, [CONTEXT])
    assert abs(got - logits_of(model, tokens)).max() < 1e-3


def test_distillation_keeps_the_zeros(
    variant: Callable[..., Path], run_here: RunHere
) -> None:
    text = "{pattern: 2:4, recover: {tokens: 5k, distill: true, learning_rate: 3e-3}}"
    folder = variant("sparsity", text, "dense", "sparse", "data")
    assert run_here(folder, "recover") == ""
    recovered = load_file(folder / "artifacts/recovered/model.safetensors")
    for name, weight in layer_matrices(recovered).items():
        assert ((weight.reshape(-1, 4) == 0).sum(axis=1) == 2).all(), name


LOSSES = """
import json, sys, torch
torch.compile = lambda **_: lambda function: function
import model, recover
from safetensors.torch import load_file
models = []
for name in ("dense", "sparse"):
    models.append(model.CausalLM())
    models[-1].load_state_dict(load_file(f"{sys.argv[1]}/{name}/model.safetensors"))
teacher, student = models
tokens = torch.tensor(json.loads(sys.argv[2]))
p = teacher(tokens[:, :-1]).softmax(-1)
against_teacher = -(p * student(tokens[:, :-1]).log_softmax(-1)).sum(-1).mean()
import training
plain = training.loss_of(student, tokens)
distilled = recover.distill_loss(teacher, student, tokens)
print(json.dumps([plain.item(), distilled.item(), against_teacher.item()]))
"""


def test_the_loss_of_cuda_scripts_is_that_of_cpu_scripts(
    pipeline: Path, tmp_path: Path
) -> None:
    spec = (pipeline.parents[1] / "spec.yaml").read_text()
    spec = spec.replace("recover: {", "recover: {distill: true, ")
    tokens = json.dumps(some_tokens(pipeline).tolist())
    losses = []
    for hardware in ("x86-2core", "h200"):
        folder = tmp_path / hardware
        folder.mkdir()
        text = spec.replace("hardware: x86-2core", f"hardware: {hardware}")
        for name, content in build_text(text).items():
            (folder / name).write_text(content)
        command = [sys.executable, "-c", LOSSES, str(pipeline / "artifacts"), tokens]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
        losses.append(json.loads(done.stdout))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    plain, distilled, against_teacher = losses[0]
    assert distilled == pytest.approx((plain + against_teacher) / 2, rel=1e-5)


def documents_of(source: str, folder: Path) -> list[tuple[str, str]]:
    """Read the documents of a built-in source, as its data.py does."""
    spec = "leangen: 1\nname: a\nmodel: {architecture: llama, hidden_size: 64,"
    spec += " intermediate_size: 128, num_hidden_layers: 1, num_attention_heads: 4,"
    spec += " max_position_embeddings: 64}\ntarget: {hardware: x86-2core, context: 64}"
    spec += f"\ndata: {{source: {source}}}"
    for name, text in build_text(spec).items():
        (folder / name).write_text(text)
    code = "import json, data; "
    code += "print(json.dumps([(s, ''.join(t)) for s, t in data.documents()]))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, check=True
    )
    return [(split, text) for split, text in json.loads(done.stdout)]


def test_the_library_is_split_by_file(tmp_path: Path) -> None:
    splits: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for split, text in documents_of("python-stdlib", tmp_path):
        splits[split].add(text)
    assert all(len(texts) > 10 for texts in splits.values())
    shared = (splits["val"] | splits["test"]) & splits["train"]
    assert all(len(text) < 100 for text in shared)  # the same few words in two files


def test_a_docstring_stands_behind_its_signature_alone(tmp_path: Path) -> None:
    documents = documents_of("python-docstrings", tmp_path)
    assert {split for split, _ in documents} == {"train", "val", "test"}
    assert len({text for _, text in documents}) == len(set(documents))  # in one split
    for _, text in documents:
        (definition,) = ast.parse(text).body
        assert isinstance(
            definition, ast.AsyncFunctionDef | ast.ClassDef | ast.FunctionDef
        )
        assert "\n" not in str(ast.get_docstring(definition, clean=False))
        assert len(definition.body) == 1
    summary = str(inspect.getdoc(textwrap.shorten)).partition("\n\n")[0]
    expected = f'def shorten(text, width, **kwargs):\n    """{summary}"""\n'
    assert expected in [text for _, text in documents]


def test_the_manual_is_all_there_in_three_spans(tmp_path: Path) -> None:
    documents = documents_of("python-manual", tmp_path)
    assert [split for split, _ in documents] == ["train", "val", "test"]
    whole = "".join(text for _, text in documents)
    assert len(documents[0][1]) == len(whole) * 90 // 100
    topics = importlib.import_module("pydoc_data.topics").topics
    assert all(topic.strip() in whole for topic in topics.values())


def test_a_vocabulary_that_the_text_does_not_yield_is_refused(
    bpe_pipeline: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(bpe_pipeline.parents[1], tmp_path / "project")
    module = root / "generated" / "tiny-bpe" / "architecture.py"
    module.write_text(
        module.read_text().replace("VOCAB_SIZE = 320", "VOCAB_SIZE = 100_000")
    )
    done = run_script(module.parent, "data")
    assert done.returncode == 1
    assert re.fullmatch(
        r"data.py: the text yields \d+ tokens: lower tokenizer.bpe\n", done.stderr
    )


def test_a_separator_that_a_text_spells_is_text(
    bpe_pipeline: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(bpe_pipeline.parents[1], tmp_path / "project")
    (root / "other.txt").write_text("one<|endoftext|>two")
    folder = root / "generated" / "tiny-bpe"
    assert run_script(folder, "data").returncode == 0
    tokens = np.load(folder / "artifacts/data/out_of_sample.npy")
    assert (tokens == 0).sum() == 1


RUN = [
    stage
    for stage in STAGES
    if stage.runs and stage.name not in ("data", "serve", "chat")
]


def files_read(pipeline: Path, stage: Stage) -> list[str]:
    """List the files under artifacts/ that a stage reads; of a folder, all."""
    spec = load(pipeline.parents[1] / "spec.yaml")
    if not stage.present(spec):
        pytest.skip("not a stage of this spec")
    artifacts = pipeline / "artifacts"
    found = []
    for name in stage.reads(spec):
        inside = sorted((artifacts / name).glob("*")) or [artifacts / name]
        found += [file.relative_to(artifacts).as_posix() for file in inside]
    return found


@pytest.mark.parametrize("stage", RUN, ids=lambda stage: stage.name)
def test_a_missing_file_is_one_line_that_names_its_stage(
    pipeline: Path, tmp_path: Path, stage: Stage, run_here: RunHere
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    for file in files_read(pipeline, stage):
        content = (folder / "artifacts" / file).read_bytes()
        (folder / "artifacts" / file).unlink()
        line = rf"{stage.script}: artifacts/{file} is missing: run .*"
        assert re.fullmatch(line, run_here(folder, stage.name))
        (folder / "artifacts" / file).write_bytes(content)


@pytest.mark.parametrize("stage", RUN, ids=lambda stage: stage.name)
def test_a_damaged_file_is_one_line_that_names_its_stage(
    pipeline: Path, tmp_path: Path, stage: Stage, run_here: RunHere
) -> None:
    """What is noted is held against its note where it is found: what is missing, is above."""
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    file = files_read(pipeline, stage)[-1]
    path = folder / "artifacts" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"artifacts/{file} is damaged" in run_here(folder, stage.name)


@pytest.mark.parametrize("stage", RUN, ids=lambda stage: stage.name)
def test_a_cut_off_file_that_nothing_is_known_of_is_one_line(
    pipeline: Path, tmp_path: Path, stage: Stage, run_here: RunHere
) -> None:
    """As where a file came from elsewhere: its reader is to notice."""
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    (folder / "artifacts" / "files.json").write_text("[1]")
    for file in files_read(pipeline, stage):
        if file.endswith("config.json"):
            continue  # architecture.py knows what stands in there
        path = folder / "artifacts" / file
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        # ONNX Runtime reads a graph and the weights beside it in one go.
        named = "onnx/.*" if "onnx" in file else file
        line = rf"{stage.script}: .*artifacts/{named} is (damaged|shorter).*"
        assert re.fullmatch(line, run_here(folder, stage.name))
        path.write_bytes(content)


def test_unstructured_magnitude_is_what_torch_prunes(
    pipeline: Path, prune_with: Callable[[str], Weights]
) -> None:
    pruned = prune_with("{pattern: unstructured, ratio: 0.3, method: magnitude}")
    dense = load_file(pipeline / "artifacts/dense/model.safetensors")
    for name, weight in pruned.items():
        outputs, inputs = weight.shape
        layer = torch.nn.Linear(inputs, outputs, bias=False)
        layer.weight.data = torch.from_numpy(dense[name])
        torch_prune.l1_unstructured(  # type: ignore[no-untyped-call]
            layer, "weight", amount=round(0.3 * weight.size)
        )
        assert (layer.weight.detach().numpy() == weight).all(), name


def test_magnitude_keeps_the_largest_of_each_group(
    pipeline: Path, prune_with: Callable[[str], Weights]
) -> None:
    pruned = prune_with("{pattern: 3:8, method: magnitude}")
    dense = load_file(pipeline / "artifacts/dense/model.safetensors")
    for name, weight in pruned.items():
        order = abs(dense[name].reshape(-1, 8)).argsort(axis=1)
        expected = dense[name].reshape(-1, 8).copy()
        np.put_along_axis(expected, order[:, :5], 0, axis=1)
        assert (expected == weight.reshape(-1, 8)).all(), name


def first_query(pipeline: Path, sequences: int) -> tuple[torch.nn.Linear, torch.Tensor]:
    """Take the first layer's q_proj, and what transformers sees it read: (tokens, in)."""
    model = transformers_model(pipeline / "artifacts" / "dense")
    tokens = np.load(pipeline / "artifacts/data/train.npy")
    starts = np.linspace(0, len(tokens) - CONTEXT - 1, sequences, dtype=int)
    rows = np.stack([tokens[s : s + CONTEXT] for s in starts])
    matrix = model.model.layers[0].self_attn.q_proj
    seen = []
    matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    logits_of(model, rows)
    return matrix, seen[0].flatten(0, 1)


def test_wanda_scores_by_the_inputs_that_transformers_sees(
    pipeline: Path, prune_with: Callable[[str], Weights]
) -> None:
    pruned = prune_with("{pattern: unstructured, ratio: 0.5, method: wanda}")
    matrix, inputs = first_query(pipeline, 128)
    norms = inputs.norm(dim=0)
    score = (matrix.weight.detach().abs() * norms).numpy()
    zero = pruned["model.layers.0.self_attn.q_proj.weight"] == 0
    assert (zero.sum(axis=1) == 32).all()
    expected = np.zeros_like(zero)
    np.put_along_axis(expected, score.argsort(axis=1)[:, :32], True, axis=1)
    assert (zero == expected).mean() > 0.999  # ties and rounding


def test_sparsegpt_is_the_optimal_brain_surgeon_in_the_order_of_columns(
    pipeline: Path, prune_with: Callable[[str], Weights]
) -> None:
    section = "{pattern: 2:4, method: sparsegpt, calibration_sequences: 16}"
    pruned = prune_with(section)
    name = "model.layers.0.self_attn.q_proj.weight"
    matrix, inputs = first_query(pipeline, 16)
    dense, found, x = (
        matrix.weight.detach().numpy(),
        pruned[name],
        inputs.double().numpy(),
    )
    gram = x.T @ x
    gram += 0.01 * gram.diagonal().mean() * np.eye(len(gram))
    zero, rows, inverse = found == 0, dense.astype(np.float64), np.linalg.inv(gram)
    chosen = np.zeros_like(zero)
    for j in range(
        len(gram)
    ):  # no factors: what is left of the inverse, column by column
        if j % 4 == 0:
            scale, left = np.empty(4), inverse[j:, j:].copy()
            for i in range(4):  # what those before it in the group leave of it
                scale[i] = left[i, i]
                left -= np.outer(left[:, i], left[i]) / left[i, i]
            score = rows[:, j : j + 4] ** 2 / scale
            worst = score.argsort(axis=1)[:, :2] + j
            np.put_along_axis(chosen, worst, True, axis=1)
        error = np.where(chosen[:, j], rows[:, j], 0) / inverse[j, j]
        rows -= np.outer(error, inverse[j])
        inverse -= np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    assert (chosen == zero).mean() > 0.999  # rounding
    for row in range(len(dense)):  # what stays is where the row misses least
        stays = ~zero[row]
        best = np.zeros(len(gram))
        best[stays] = np.linalg.solve(gram[stays][:, stays], gram[stays] @ dense[row])
        missed = (dense[row] - best) @ gram @ (dense[row] - best)
        ours = (dense[row] - found[row]) @ gram @ (dense[row] - found[row])
        assert missed <= ours < 1.001 * missed
