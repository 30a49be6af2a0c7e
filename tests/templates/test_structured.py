"""Structured pruning: a smaller checkpoint that transformers loads, fitted to what was."""

import json
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import load, loads
from tests.generator.test_build import lint
from tests.templates.test_families import (
    WINDOW,
    Case,
    Modules,
    logits_of,
    read_back,
    stepwise,
    text,
    write_checkpoint,
)
from tests.templates.test_formats import (
    ALPHABET,
    AS_GPT_2,
    PROMPT,
    Llama,
    byte_level_bpe,
    chances_of,
    rounded,
    some_model,
)
from tests.templates.test_instrument import on_cpu

BIASES = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
WINDOWS = {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": WINDOW}
LAYERS = {"num_hidden_layers": 4}
CASES = {
    "llama": Case("llama", LAYERS | BIASES, torch.bfloat16),
    "mistral": Case("mistral", LAYERS | {"sliding_window": WINDOW, "head_dim": 32}),
    "qwen2": Case("qwen2", LAYERS | {"tie_word_embeddings": True}),
    "qwen3": Case("qwen3", LAYERS | {"head_dim": 8} | WINDOWS),
}
PAGE = """\
leangen: 1
name: given
model: {{checkpoint: ./model}}
sparsity: {{pattern: structured, calibration_sequences: 16, {shares}}}
quantization: {{weights: 32}}
target: {{hardware: x86-2core, context: 64}}
serve: {{device: cpu}}
"""
ALL = "ratio: 0.33, heads: 0.5, layers: 0.25"
RECOVER = "recover: {tokens: 2k, distill: true}"


def written(root: Path, shares: str, more: str = "", page: str = PAGE) -> Path:
    """Write the scripts for a checkpoint, and a text of random tokens."""
    (root / "spec.yaml").write_text(page.format(shares=shares) + more)
    folder = root / "generated" / "given"
    folder.mkdir(parents=True)
    spec = load(root / "spec.yaml")
    for name, code in build(spec, plan(spec)).items():
        (folder / name).write_text(code)
    tokens = np.random.default_rng(1).integers(0, 96, 2000, dtype=np.uint16)
    (folder / "artifacts" / "data").mkdir(parents=True)
    for split in ("train", "val"):
        np.save(folder / "artifacts" / "data" / f"{split}.npy", tokens)
    return folder


FORMATS = "export: {formats: [gguf, compressed-tensors]}\n"
ON_GPU = "train: {hardware: h200, precision: bf16, batch_size: 2}\n"
SHARES = ("ratio: 0.33", "heads: 0.5", "layers: 0.25")
SOME = [chosen for n in (1, 2, 3) for chosen in combinations(SHARES, n)]


def test_every_choice_of_shares_renders_to_clean_scripts(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model", CASES["llama"])
    page = PAGE.replace("weights: 32", "weights: 8, group_size: 32")
    for chosen, (recover, more) in product(SOME, (((), FORMATS), ((RECOVER,), ON_GPU))):
        asked = page.format(shares=", ".join((*chosen, *recover))) + more
        spec = loads(asked, str(tmp_path / "spec.yaml"))
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        folder.mkdir()
        for name, code in build(spec, plan(spec)).items():
            (folder / name).write_text(code)
    lint(tmp_path)


def in_torch(ours: SimpleNamespace) -> torch.nn.Module:
    model: torch.nn.Module = ours.tensors.load_model("pruned").requires_grad_(False)
    return model


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_transformers_loads_what_is_left_and_agrees(
    case: Case, tmp_path: Path, modules: Modules
) -> None:
    dense = logits_of(write_checkpoint(tmp_path / "model", case))
    ours = modules(written(tmp_path, ALL))
    ours.prune.main()
    theirs = read_back(ours.artifacts.ARTIFACTS / "pruned")
    config = theirs.config
    assert (config.intermediate_size, config.num_hidden_layers) == (64, 3)
    assert (config.num_attention_heads, config.num_key_value_heads) == (2, 1)
    pruned = logits_of(theirs)
    assert np.abs(logits_of(in_torch(ours)) - pruned).max() < 1e-4
    ours.export.main()
    assert np.abs(stepwise(ours.decoder.Decoder("model.onnx")) - pruned).max() < 1e-3
    for name, expected in (("dense", dense), ("pruned", pruned)):
        given = ours.instrument.Model(name, {})
        found = given.logits(stepwise(given.decoder))
        assert np.abs(found - expected).max() < 1e-3


def inputs_of(model: PreTrainedModel, name: str, tokens: torch.Tensor) -> torch.Tensor:
    """What a matrix is multiplied by: (tokens, in)."""
    seen: list[torch.Tensor] = []
    matrix = model.get_submodule(name)
    hook = matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    found: torch.Tensor = seen[0].flatten(0, 1).double()
    return found


def mlp_of(model: PreTrainedModel) -> Any:
    return model.get_submodule("model.layers.0.mlp")


def fit(inputs: torch.Tensor, kept: list[int], wanted: torch.Tensor) -> torch.Tensor:
    """Least squares with weights drawn to their own by what prune.py adds: (out, in')."""
    gram = inputs.T @ inputs
    gram += 0.03 * torch.diag(gram.diagonal())
    rows: torch.Tensor = torch.linalg.solve(
        gram[kept][:, kept], (wanted @ gram)[:, kept].T
    )
    return rows.T


def test_what_is_left_is_the_least_squares_fit(
    tmp_path: Path, modules: Modules
) -> None:
    """Of one layer and one step, the channels that go can be told by trying each choice."""
    sizes = {
        "num_hidden_layers": 1,
        "intermediate_size": 64,
        "tie_word_embeddings": True,
    }
    dense = write_checkpoint(tmp_path / "model", Case("llama", sizes))
    ours = modules(written(tmp_path, "ratio: 0.5"))
    ours.prune.main()
    theirs = read_back(ours.artifacts.ARTIFACTS / "pruned")
    tokens = ours.prune.calibration_sequences()
    inputs = inputs_of(dense, "model.layers.0.mlp.down_proj", tokens)
    before, after = (mlp_of(model) for model in (dense, theirs))
    gates = before.gate_proj.weight
    kept = [int((gates == row).all(1).nonzero()) for row in after.gate_proj.weight]
    assert len({*kept}) == 32
    wanted = before.down_proj.weight.detach().double()
    fitted = fit(inputs, kept, wanted)
    assert torch.allclose(after.down_proj.weight.double(), fitted, atol=1e-4)

    def lost(kept: list[int]) -> float:
        missed = inputs @ wanted.T - inputs[:, kept] @ fit(inputs, kept, wanted).T
        return float(missed.square().sum())

    draws = np.random.default_rng(0)
    others = [sorted(draws.choice(64, 32, replace=False)) for _ in range(50)]
    assert lost(kept) < min(map(lost, others))


def test_a_killed_run_goes_on_with_the_same_bytes(
    tmp_path: Path, modules: Modules
) -> None:
    write_checkpoint(tmp_path / "model", CASES["llama"])
    ours = modules(written(tmp_path, ALL))
    file = ours.artifacts.ARTIFACTS / "pruned" / "model.safetensors"
    ours.prune.main()
    whole = file.read_bytes()
    file.unlink()
    noted = ours.prune.note

    def kill(checkpoint: Any, run: list[str], layers: int) -> None:
        noted(checkpoint, run, layers)
        if layers == 2:
            raise KeyboardInterrupt

    ours.prune.note = kill
    with pytest.raises(KeyboardInterrupt):
        ours.prune.main()
    ours.prune.note = noted
    ours.prune.main()
    assert file.read_bytes() == whole


def test_a_larger_model_teaches_the_smaller_one(
    tmp_path: Path, modules: Modules
) -> None:
    """Half the loss is the text's, half is the teacher's, whose shape is another one."""
    dense = write_checkpoint(tmp_path / "model", CASES["llama"])
    ours = modules(written(tmp_path, f"{ALL}, {RECOVER}", "train: {batch_size: 2}\n"))
    ours.prune.main()
    tokens = ours.tensors.cut(ours.tensors.load_tokens("train"), np.arange(2))
    with torch.no_grad():
        loss = ours.recover.distill_loss(
            ours.recover.load_teacher(), in_torch(ours), tokens
        )
        said = dense(tokens[:, :-1]).logits.flatten(0, 1)
        pruned = read_back(ours.artifacts.ARTIFACTS / "pruned")
        logits = pruned(tokens[:, :-1]).logits.flatten(0, 1)
        entropy = torch.nn.functional.cross_entropy
        expected = entropy(logits, tokens[:, 1:].flatten())
        expected = (expected + entropy(logits, said.softmax(1))) / 2
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    ours.recover.main()
    config = json.loads(
        (ours.artifacts.ARTIFACTS / "recovered" / "config.json").read_text()
    )
    assert config["num_hidden_layers"] == 3


def test_other_engines_load_what_is_left(tmp_path: Path, modules: Modules) -> None:
    for needed in ("compressed_tensors", "xllamacpp"):
        pytest.importorskip(needed)
    dense = some_model("llama")
    dense.save_pretrained(tmp_path / "model")
    alphabet = [c for c in ALPHABET if c.isascii()]
    tokenizer = byte_level_bpe([AS_GPT_2], alphabet, size=320)
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    page = PAGE.replace("weights: 32", "weights: 8, group_size: 32")
    folder = written(tmp_path, "ratio: 0.33, heads: 0.5, layers: 0.5", FORMATS, page)
    tokenizer.save(str(folder / "artifacts" / "tokenizer.json"))
    ours = modules(folder)
    ours.prune.main()
    for script in (ours.export_compressed_tensors, ours.export_gguf):
        script.main()
    left = read_back(folder / "artifacts" / "pruned")
    packed = read_back(folder / "artifacts" / "compressed-tensors")
    model = rounded(
        left, ours.rounding.quantize, matrix=8, table=None, scale=torch.float32
    )
    assert np.abs(logits_of(packed) - logits_of(model)).max() < 1e-4
    llama = Llama(folder / "artifacts" / "gguf" / "model.gguf")
    new, chances = llama.complete(PROMPT, 8)
    expected = chances_of(
        rounded(left, ours.rounding.quantize, matrix=8, table=8, scale=torch.float16),
        PROMPT,
        new,
    )
    np.testing.assert_allclose(chances, expected, atol=0.12)


def test_the_instrument_of_a_gpu_measures_both_sizes(
    tmp_path: Path, modules: Modules
) -> None:
    dense = write_checkpoint(tmp_path / "model", CASES["qwen3"])
    folder = written(tmp_path, ALL, "train: {hardware: h200}\n")
    script = (folder / "prune.py").read_text()
    (folder / "prune.py").write_text(script.replace('"cuda"', '"cpu"'))
    ours = modules(on_cpu(folder))
    ours.prune.main()
    pruned = read_back(folder / "artifacts" / "pruned")
    for name, expected in (("dense", dense), ("pruned", pruned), ("exported", pruned)):
        model = ours.instrument.Model(name, {"test": [np.array([*text(), 0])]})
        (logits,) = model.logits(model.streams["test"][0])
        assert np.abs(logits.numpy() - logits_of(expected)).max() < 1e-3
