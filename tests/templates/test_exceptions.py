"""Some matrices with other bits than most: engines multiply by what each was rounded to."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from leangen.generator.plan import plan
from leangen.spec import LeangenError, load
from tests.conftest import TINY, built
from tests.templates.test_formats import (
    ALPHABET,
    AS_GPT_2,
    PROMPT,
    Llama,
    byte_level_bpe,
    chances_of,
    logits_of,
    some_model,
)

Leangen = Callable[..., subprocess.CompletedProcess[str]]
Modules = Callable[[Path], SimpleNamespace]
RunHere = Callable[[Path, str], str]

PAGE = """
leangen: 1
name: mixed
model: {{checkpoint: model}}
data: {{source: text, path: "*.txt", test: "*.txt"}}
quantization:
  weights: {bits}
  group_size: 32
  arithmetic: {arithmetic}
  exceptions: {{{other}: [{listed}]}}
export: {{formats: [{formats}]}}
target: {{hardware: x86-2core, context: 64}}
serve: {{device: cpu}}
"""
# What is listed, and what that means by the names that transformers gives.
SPREAD = "0, down_proj, 1.v_proj", r"layers\.0|down_proj|layers\.1\.self_attn\.v_proj"
FUSED = (
    "down_proj, 1.q_proj, 1.k_proj, 1.v_proj, 2.gate_proj, 2.up_proj",
    r"down_proj|layers\.1\.self_attn\.[qkv]_|layers\.2\.mlp\.(gate|up)_proj",
)


@pytest.fixture
def write(tmp_path: Path, run_here: RunHere) -> Callable[..., Path]:
    """Build a spec of a model with exceptions, and run some of its scripts."""

    def run(
        model: Any,
        bits: int,
        listed: str,
        formats: str,
        *scripts: str,
        arithmetic: str = "float32",
    ) -> Path:
        copy.deepcopy(model).save_pretrained(tmp_path / "model")
        ascii_alone = [character for character in ALPHABET if character.isascii()]
        tokenizer = byte_level_bpe([AS_GPT_2], ascii_alone, size=320)
        tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
        page = PAGE.format(
            bits=bits,
            other=12 - bits,
            listed=listed,
            formats=formats,
            arithmetic=arithmetic,
        )
        (tmp_path / "spec.yaml").write_text(page)
        project = built(tmp_path / "spec.yaml")
        (project / "artifacts").mkdir(exist_ok=True)
        tokenizer.save(str(project / "artifacts" / "tokenizer.json"))
        for script in scripts:
            assert run_here(project, script) == ""
        return project

    return run


def rounded(model: Any, quantize: Any, bits: int, others: str, **kinds: Any) -> Any:
    """Round each matrix of a layer to `bits`, or to the others where its name matches.

    table: bits of embedding and head, None where they stay; scale: the type of the scales.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            other = re.search(others, name)
            each = (
                (12 - bits if other else bits) if "layers" in name else kinds["table"]
            )
            if weight.ndim == 1 or ".gate.weight" in name or each is None:
                continue
            rows = weight.float().reshape(-1, weight.shape[-1]).numpy()
            levels, scales = quantize(rows, each)
            steps = torch.from_numpy(scales[..., None]).to(kinds["scale"])
            values = (torch.from_numpy(levels).float() - 2 ** (each - 1)) * steps
            weight.copy_(values.view(weight.shape))
    return model


@pytest.mark.parametrize(
    ("family", "bits", "case", "formats"),
    [
        ("llama", 8, SPREAD, "gguf"),
        ("qwen2", 4, FUSED, "compressed-tensors"),
    ],
)
def test_engines_multiply_by_what_was_rounded(
    family: str,
    bits: int,
    case: tuple[str, str],
    formats: str,
    write: Any,
    modules: Modules,
) -> None:
    model = some_model(family, num_hidden_layers=3)
    listed, others = case
    named = [f"export_{name.replace('-', '_')}" for name in formats.split(", ")]
    project = write(model, bits, listed, formats, "export", *named)
    ours = modules(project)

    def ours_in_torch(table: int | None, scale: torch.dtype) -> Any:
        quantize, kinds = ours.rounding.quantize, {"table": table, "scale": scale}
        return rounded(copy.deepcopy(model), quantize, bits, others, **kinds)

    in_onnx_runtime(ours, model, ours_in_torch(8, torch.float32))
    spec = load(project.parents[1] / "spec.yaml")
    data = (project / "artifacts/onnx/model.onnx.data").stat().st_size
    small = sum(weight.numel() for weight in model.parameters() if weight.ndim == 1)
    tensors = 2 * sum(weight.ndim > 1 for weight in model.parameters())  # on pages
    assert 0 <= data - (plan(spec).exported_bytes - 4 * small) < 4096 * tensors
    if "gguf" in formats:
        in_llama_cpp(project, ours_in_torch(8, torch.float16))
    if "compressed" in formats:
        in_transformers(project, ours_in_torch(None, torch.float32))
        folder = project / "artifacts" / "compressed-tensors"
        config = json.loads((folder / "config.json").read_text())
        for group in config["quantization_config"]["config_groups"].values():
            other = group["weights"]["num_bits"] != bits
            targets = group["targets"]
            assert all(bool(re.search(others, name)) == other for name in targets)


def in_onnx_runtime(ours: SimpleNamespace, whole: Any, expected: Any) -> None:
    """Hold the exported model against a model in torch."""
    if not whole.config.tie_word_embeddings:  # a table to look up in: 16 bits
        table = whole.model.embed_tokens.weight.half()
        expected.model.embed_tokens.weight.data = table.float()
    decoder = ours.decoder.Decoder("model.onnx")
    found = decoder.forward(PROMPT, range(len(PROMPT)))
    logits = logits_of(expected, PROMPT)
    np.testing.assert_allclose(found, logits, atol=2e-4)
    assert np.abs(logits).max() > 0.5


def in_llama_cpp(project: Path, expected: Any) -> None:
    """Hold what llama.cpp says against a model in torch: it rounds its inputs, too."""
    pytest.importorskip("xllamacpp")
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    new, chances = llama.complete(PROMPT, 8)
    ours = chances_of(expected, PROMPT, new)
    np.testing.assert_allclose(chances, ours, atol=0.15)


def in_transformers(project: Path, expected: Any) -> None:
    """Hold what transformers reads against a model in torch."""
    pytest.importorskip("compressed_tensors")
    folder = project / "artifacts" / "compressed-tensors"
    read: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    read.eval()
    logits = logits_of(expected, PROMPT)
    np.testing.assert_allclose(logits_of(read, PROMPT), logits, atol=2e-5)


@pytest.mark.parametrize(
    ("family", "listed", "formats", "message"),
    [
        ("mixtral", "0.w1", "gguf", "other bits for some of an expert's matrices"),
        (
            "mixtral",
            "0.o_proj",
            "compressed-tensors",
            "compressed-tensors with experts",
        ),
        ("mixtral", "0", "gguf", "experts of 8 bits in float32 arithmetic"),
    ],
)
def test_what_an_engine_cannot_hold_is_refused(
    family: str, listed: str, formats: str, message: str, write: Any
) -> None:
    model = some_model(family, num_hidden_layers=3)
    with pytest.raises(LeangenError, match=message):
        write(model, 4, listed, formats)


def test_experts_have_bits_of_their_own(write: Any, modules: Modules) -> None:
    """ONNX Runtime rounds what they are multiplied by, too: that is near, 4 bits are not."""
    model = some_model("mixtral", num_hidden_layers=3)
    named = "0, 1.w1, 1.w2, 1.w3, 2.w1, 2.w2, 2.w3", r"layers\.0|experts"
    project = write(model, 4, named[0], "gguf", "export", arithmetic="int8")
    ours, whole = modules(project), copy.deepcopy(model.state_dict())
    found = ours.decoder.Decoder("model.onnx").forward(PROMPT, range(len(PROMPT)))
    off = {}
    for kind, others in (("said", named[1]), ("all in 4 bits", "nothing")):
        model.load_state_dict(whole)
        kinds = {"table": 8, "scale": torch.float32}
        rounded(model, ours.rounding.quantize, 4, others, **kinds)
        off[kind] = np.abs(found - logits_of(model, PROMPT)).mean()
    assert off["said"] < 0.03
    assert off["all in 4 bits"] > 5 * off["said"]


def test_a_diff_has_a_line_for_each_name(tmp_path: Path, leangen: Leangen) -> None:
    page = TINY.replace("group_size: 16", "group_size: 16, exceptions: {8: [0]}")
    file = tmp_path / "spec.yaml"
    file.write_text(page)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    file.write_text(page.replace("[0]", "[0, 1.v_proj, o_proj]"))
    lines = leangen("diff", "spec.yaml", cwd=tmp_path).stdout.splitlines()
    (told,) = [line for line in lines if line.startswith("# quantization.exceptions")]
    assert told.split()[2:] == ["1", "names", "->", "3", "names"]
    patch = lines[lines.index("+++ b/generated/tiny/rounding.py") :]
    added = [line[1:].strip() for line in patch if line.startswith("+ ")]
    assert added == ['"1.v_proj",', '"o_proj",']
