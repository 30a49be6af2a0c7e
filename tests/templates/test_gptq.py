"""Weights on a grid: what a textbook's surgeon would round, and the same in every format."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.conftest import Leangen, built, write_texts
from tests.templates.test_given import learn

GROUP, SEQUENCES, CONTEXT = 32, 8, 64
PAGE = """\
leangen: 1
name: small
model: {checkpoint: model}
data: {source: text, path: "corpus/*.txt"}
quantization: {weights: 4, group_size: 32, method: gptq, calibration_sequences: 8}
target: {hardware: x86-2core, context: 64}
"""
SPARSE = """\
sparsity: {pattern: 2:4, method: sparsegpt, calibration_sequences: 8}
export: {formats: [compressed-tensors, gguf]}
"""
MIXED = PAGE.replace(
    "gptq,", "gptq, arithmetic: float32, exceptions: {8: [0, down_proj, 1.o_proj]},"
)
IN_8 = r"layers\.0\.|down_proj|layers\.1\.self_attn\.o_proj"
FORMATS = ("export", "export_compressed_tensors", "export_gguf")
QUERY = "model.layers.0.self_attn.q_proj.weight"
Build = Callable[..., Path]
Modules = Callable[[Path], SimpleNamespace]


@pytest.fixture
def build(tmp_path: Path, run_here: Callable[[Path, str], str]) -> Build:
    """Run stages of a spec of a small random model; return the artifacts."""
    write_texts(tmp_path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.1,
    )
    model: Any = LlamaForCausalLM(config)
    model.half().save_pretrained(tmp_path / "model")
    learn(tmp_path / "model" / "tokenizer.json", tmp_path / "corpus", 512)

    def run(page: str, *stages: str) -> Path:
        (tmp_path / "spec.yaml").write_text(page)
        folder = built(tmp_path / "spec.yaml")
        for stage in stages:
            assert run_here(folder, stage) == ""
        return folder / "artifacts"

    return run


def read_by_queries(artifacts: Path) -> np.ndarray:
    """Let transformers say what the first layer's queries read: (tokens, in)."""
    model = AutoModelForCausalLM.from_pretrained(
        artifacts.parents[2] / "model", dtype=torch.float32
    )
    tokens = np.load(artifacts / "data" / "train.npy")
    starts = np.linspace(0, len(tokens) - CONTEXT - 1, SEQUENCES, dtype=int)
    rows = np.stack([tokens[start : start + CONTEXT] for start in starts])
    seen: list[torch.Tensor] = []
    matrix = model.model.layers[0].self_attn.q_proj
    matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.from_numpy(rows.astype(np.int64)))
    inputs: np.ndarray = seen[0].flatten(0, 1).double().numpy()
    return inputs


def on_grid(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Round to the nearest of 16 levels: zero, seven above it and eight below."""
    rounded: np.ndarray = np.rint(rows / scales).clip(-8, 7) * scales
    return rounded


def test_gptq_is_the_optimal_brain_surgeon_in_the_order_of_activity(
    build: Build,
) -> None:
    artifacts = build(PAGE, "data", "quantize")
    dense = load_file(artifacts.parents[2] / "model" / "model.safetensors")
    found = load_file(artifacts / "quantized" / "model.safetensors")[QUERY]
    scales = np.load(artifacts / "quantized" / f"{QUERY}.npy")
    steps = scales.repeat(GROUP, axis=1).astype(np.float64)
    inputs = read_by_queries(artifacts)
    gram = inputs.T @ inputs
    gram += 0.01 * gram.diagonal().mean() * np.eye(len(gram))
    rows, inverse = dense[QUERY].astype(np.float64), np.linalg.inv(gram)
    nearest, expected = on_grid(rows, steps), np.zeros_like(rows)
    for j in np.argsort(-gram.diagonal()):  # no factors: what is left of the inverse
        expected[:, j] = on_grid(rows[:, j], steps[:, j])
        error = (rows[:, j] - expected[:, j]) / inverse[j, j]
        rows -= np.outer(error, inverse[j])
        inverse -= np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    assert np.isclose(found, expected, atol=1e-3).mean() > 0.99  # levels on the edge

    def missed(weight: np.ndarray) -> float:
        return float(np.square(inputs @ (weight - dense[QUERY]).T).sum())

    assert missed(found) < 0.8 * missed(nearest)
    groups = dense[QUERY].astype(np.float64).reshape(*scales.shape, GROUP)
    activity = gram.diagonal().reshape(-1, GROUP)

    def cost(tried: np.ndarray) -> np.ndarray:
        missed = on_grid(groups, tried[..., None]) - groups
        found: np.ndarray = (np.square(missed) * activity).sum(axis=2)
        return found

    widest = np.abs(groups).max(axis=2) / 8
    for size in (-1.1, -1.0, -0.9, -0.7, 0.7, 0.8, 1.0, 1.1):
        tried = torch.from_numpy(widest * size).bfloat16().double().numpy()
        assert (cost(scales) <= cost(tried) * 1.001).all()


def floats(folder: Path) -> dict[str, np.ndarray]:
    """Read a folder's tensors; numpy has no bf16."""
    tensors = load_torch_file(folder / "model.safetensors")
    widened = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    return {name: tensor.numpy() for name, tensor in widened.items()}


def held_by_all(artifacts: Path, bits: dict[str, int]) -> dict[str, np.ndarray]:
    """Hold every format's levels against the checkpoint's; return what they stand for."""
    fitted = floats(artifacts / "quantized")
    packed = floats(artifacts / "compressed-tensors")
    gguf = (artifacts / "gguf" / "model.gguf").read_bytes()
    graph = onnx.load(artifacts / "onnx" / "model.onnx").graph
    folder = str(artifacts / "onnx")
    stored = b"".join(
        numpy_helper.to_array(t, folder).tobytes() for t in graph.initializer
    )
    found = {}
    for name, many in bits.items():
        scales = np.load(artifacts / "quantized" / f"{name}.npy")
        middle = 2 ** (many - 1)
        assert (packed[f"{name}_scale"] == scales).all()
        exact = fitted[name] / scales.repeat(GROUP, axis=1)
        signed = np.rint(exact)
        assert np.abs(exact - signed).max() < 0.46
        assert signed.min() >= -middle
        assert signed.max() < middle
        levels = (signed + middle).astype(np.uint8)
        stream = packed[f"{name}_packed"].view(np.uint8)
        places = np.unpackbits(stream, axis=1, bitorder="little")
        theirs = places.reshape(*levels.shape, many) @ (1 << np.arange(many))
        assert (theirs == levels).all()
        blocks = levels.reshape(*scales.shape, GROUP)
        pairs = blocks[..., 0::2] | blocks[..., 1::2] << 4
        assert (pairs if many == 4 else blocks).tobytes() in stored
        if ".q_proj." not in name and ".k_proj." not in name:  # whose rows are moved
            halves = blocks[..., :16] | blocks[..., 16:] << 4
            row = (halves if many == 4 else blocks ^ 128)[0, 0]
            assert scales[0, 0].astype("<f2").tobytes() + row.tobytes() in gguf
        found[name] = signed * scales.repeat(GROUP, axis=1)
    return found


def zeros_stay(artifacts: Path, names: Iterable[str]) -> None:
    sparse, fitted = floats(artifacts / "sparse"), floats(artifacts / "quantized")
    for name in names:
        zero = sparse[name] == 0
        assert zero.mean() == 0.5
        assert (fitted[name][zero] == 0).all()


def test_all_formats_hold_what_is_on_the_grid_and_zeros_stay_zero(build: Build) -> None:
    artifacts = build(PAGE + SPARSE, "data", "prune", "quantize", *FORMATS)
    sparse = floats(artifacts / "sparse")
    bits = {name: 4 for name in sparse if name.endswith("_proj.weight")}
    assert len(bits) == 14
    held_by_all(artifacts, bits)
    zeros_stay(artifacts, bits)


def test_matrices_with_other_bits_are_as_exact_as_these_in_every_format(
    build: Build, tmp_path: Path, modules: Modules
) -> None:
    folder = tmp_path / "model"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    artifacts = build(MIXED + SPARSE, "data", "prune", "quantize", *FORMATS)
    sparse = floats(artifacts / "sparse")
    names = [name for name in sparse if name.endswith("_proj.weight")]
    bits = {name: 8 if re.search(IN_8, name) else 4 for name in names}
    assert list(bits.values()).count(8) == 9
    grid = held_by_all(artifacts, bits)
    zeros_stay(artifacts, bits)
    moved: dict[int, list[float]] = {4: [], 8: []}
    for name, weight in grid.items():
        if not re.search("o_proj|down_proj", name):  # which make up for others, too
            off = np.linalg.norm(weight - sparse[name]) / np.linalg.norm(sparse[name])
            moved[bits[name]].append(float(off))
    assert max(moved[8]) < min(moved[4]) / 4
    ours = modules(artifacts.parent)
    levels, scales = ours.rounding.quantize(floats(folder)["lm_head.weight"], 8)
    grid["lm_head.weight"] = ((levels - 128.0) * scales[..., None]).reshape(512, 64)
    weights = {name: torch.from_numpy(weight) for name, weight in grid.items()}
    model.float().load_state_dict(weights, strict=False)
    prompt = list(range(0, 480, 15))
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0].numpy()
    found = ours.decoder.Decoder("model.onnx").forward(prompt, range(len(prompt)))
    np.testing.assert_allclose(found, logits, atol=2e-4)
    assert np.abs(logits).max() > 0.5


def test_levels_of_8_bits_survive_a_checkpoint_in_bf16(
    build: Build, modules: Modules
) -> None:
    artifacts = build(MIXED)
    rounding = modules(artifacts.parent).rounding
    scales = (1 + np.arange(128, dtype=np.float32) / 128).reshape(64, 2)  # all of bf16
    (artifacts / "quantized").mkdir()
    np.save(artifacts / "quantized" / f"{QUERY}.npy", scales)
    for lowest in range(-128, 128, GROUP):
        levels = np.arange(lowest, lowest + GROUP, dtype=np.float32)
        exact = torch.from_numpy(scales[..., None] * levels).view(64, 64)
        stored = [exact.bfloat16().float().numpy()]
        weights = SimpleNamespace(blocks={QUERY: stored}.get)
        ((found, _),) = rounding.on_grid(weights, QUERY)
        assert (found == levels + 128).all()


def test_a_spec_says_what_gptq_is_for(build: Build, leangen: Leangen) -> None:
    artifacts = build(PAGE)
    plan = json.loads((artifacts.parent / "plan.json").read_text())
    assert plan["spec"]["quantization.method"] == "gptq"
    assert "quantize" in plan["stages"]
    page = PAGE.replace("method: gptq, ", "")
    (artifacts.parents[2] / "nearest.yaml").write_text(page)
    done = leangen("check", "nearest.yaml", cwd=artifacts.parents[2])
    assert "write method: gptq" in done.stderr
