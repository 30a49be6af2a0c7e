"""Weights on a grid: what a textbook's surgeon would round, and the same in every format."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.conftest import Leangen, write_texts
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
QUERY = "model.layers.0.self_attn.q_proj.weight"
Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path, leangen: Leangen) -> Build:
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
        done = leangen("build", "spec.yaml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "generated" / "small"
        for stage in stages:
            command = [sys.executable, f"{stage}.py"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
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


def test_all_formats_hold_what_is_on_the_grid_and_zeros_stay_zero(build: Build) -> None:
    formats = ("export", "export_compressed_tensors", "export_gguf")
    artifacts = build(PAGE + SPARSE, "data", "prune", "quantize", *formats)
    sparse = load_file(artifacts / "sparse" / "model.safetensors")
    fitted = load_file(artifacts / "quantized" / "model.safetensors")
    packed = load_file(artifacts / "compressed-tensors" / "model.safetensors")
    gguf = (artifacts / "gguf" / "model.gguf").read_bytes()
    stored = {
        tensor.name: numpy_helper.to_array(tensor, str(artifacts / "onnx"))
        for tensor in onnx.load(artifacts / "onnx" / "model.onnx").graph.initializer
    }
    matrices = [n for n in fitted if n.endswith("_proj.weight")]
    assert len(matrices) == 14
    for name in matrices:
        zero = sparse[name] == 0
        assert zero.mean() == 0.5
        assert (fitted[name][zero] == 0).all()
        scales = np.load(artifacts / "quantized" / f"{name}.npy")
        assert (packed[f"{name}_scale"] == scales.astype(np.float16)).all()
        levels = np.rint(fitted[name] / scales.repeat(GROUP, axis=1)) + 8
        assert (levels >= 0).all()
        assert (levels <= 15).all()
        halves = levels.astype(np.uint8).reshape(len(levels), -1, 8)
        theirs = np.unpackbits(
            packed[f"{name}_packed"].view(np.uint8), axis=1, bitorder="little"
        ).reshape(len(levels), -1, 4)
        places = np.array([1, 2, 4, 8])
        assert (theirs @ places == levels).all()
        both = halves[..., 0::2] | halves[..., 1::2] << 4
        assert both.tobytes() in b"".join(v.tobytes() for v in stored.values())
        if ".q_proj." not in name and ".k_proj." not in name:  # whose rows are moved
            blocks = levels.astype(np.uint8).reshape(len(levels), -1, GROUP)
            row = blocks[0, 0, :16] | blocks[0, 0, 16:] << 4
            assert scales[0, 0].astype("<f2").tobytes() + row.tobytes() in gguf


def test_a_spec_says_what_gptq_is_for(build: Build, leangen: Leangen) -> None:
    artifacts = build(PAGE)
    plan = json.loads((artifacts.parent / "plan.json").read_text())
    assert plan["spec"]["quantization.method"] == "gptq"
    assert "quantize" in plan["stages"]
    page = PAGE.replace("method: gptq, ", "")
    (artifacts.parents[2] / "nearest.yaml").write_text(page)
    done = leangen("check", "nearest.yaml", cwd=artifacts.parents[2])
    assert "write method: gptq" in done.stderr
