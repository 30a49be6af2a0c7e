"""What matrices lose by their bits is what transformers loses by them, and who gets more."""

import copy
import itertools
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
import yaml

from leangen.generator.plan import plan
from leangen.generator.plan.named import mean_bits, weights_by_bits
from leangen.generator.plan.parameters import count
from leangen.spec import load
from tests.templates.test_exceptions import rounded
from tests.templates.test_formats import ALPHABET, AS_GPT_2, byte_level_bpe, some_model

Leangen = Callable[..., subprocess.CompletedProcess[str]]
Modules = Callable[[Path], SimpleNamespace]

LAYERS = 3
PAGE = """
leangen: 1
name: felt
model: {checkpoint: model}
data: {source: text, path: text.txt}
quantization: {weights: 4, group_size: 16}
evaluate: {sensitivity: true}
target: {hardware: x86-2core, context: 64}
serve: {device: cpu}
"""
PROJECTIONS = {
    "q_proj k_proj v_proj": r"self_attn\.[qkv]_proj",
    "o_proj": r"o_proj",
    "gate_proj up_proj": r"(gate|up)_proj",
    "down_proj": r"down_proj",
    "w1 w3 w2": r"experts\.",
}


def measured(root: Path, family: str, leangen: Leangen) -> tuple[Any, Path]:
    """Write a model and its text, and run what measures its bits."""
    model = some_model(family, num_hidden_layers=LAYERS)
    copy.deepcopy(model).save_pretrained(root / "model")
    tokenizer = byte_level_bpe([AS_GPT_2], ALPHABET, size=320)
    tokenizer.save(str(root / "model" / "tokenizer.json"))
    (root / "text.txt").write_text(Path(json.__file__).read_text() * 4)
    (root / "spec.yaml").write_text(PAGE)
    built = leangen("build", "spec.yaml", cwd=root)
    assert built.returncode == 0, built.stderr
    done = leangen("run", "spec.yaml", "--until", "sensitivity", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return model, root / "generated" / "felt"


@torch.no_grad()
def chances(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(tokens).logits.double().log_softmax(2)
    return found


@pytest.mark.parametrize("family", ["llama-tied", "mixtral"])
def test_losses_are_divergences_of_transformers(
    family: str, tmp_path: Path, leangen: Leangen, modules: Modules
) -> None:
    model, project = measured(tmp_path, family, leangen)
    ours, whole = modules(project), copy.deepcopy(model.state_dict())
    text = np.load(project / "artifacts" / "data" / "train.npy")
    starts = np.linspace(0, len(text) - 65, 8, dtype=int)
    rows = np.stack([text[start : start + 64] for start in starts])
    tokens = torch.from_numpy(rows.astype(np.int64))
    truth = chances(model, tokens)
    found = json.loads((project / "artifacts" / "sensitivity.json").read_text())
    parts = {(part["layer"], part["group"]): part["loss"] for part in found["parts"]}
    assert len(parts) == LAYERS * (3 if family == "mixtral" else 4)
    for (layer, group), loss in parts.items():
        names = rf"layers\.{layer}\..*{PROJECTIONS[group]}"
        model.load_state_dict(whole)
        only(model, names, ours.rounding.quantize, 4)
        expected = (truth.exp() * (truth - chances(model, tokens))).sum(2).mean()
        assert loss == pytest.approx(float(expected), rel=0.02)


def only(model: Any, names: str, quantize: Any, bits: int) -> None:
    """Round the matrices of some names, and leave what does not match as it is."""
    before = copy.deepcopy(model.state_dict())
    rounded(model, quantize, bits, "nothing", table=None, scale=torch.float32)
    kept = {n: w for n, w in before.items() if not re.search(names, n)}
    model.load_state_dict(kept, strict=False)


def test_a_choice_can_be_pasted_and_saves_most(
    tmp_path: Path, leangen: Leangen
) -> None:
    _, project = measured(tmp_path, "llama", leangen)
    found = json.loads((project / "artifacts" / "sensitivity.json").read_text())
    page = (project / "artifacts" / "sensitivity.md").read_text()
    snippets = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    losses = [one["loss"] for one in found["choices"]]
    assert losses == sorted(losses, reverse=True)
    assert len(snippets) == len(found["choices"]) - 2
    for snippet, choice in zip(snippets, found["choices"][1:-1], strict=True):
        written = yaml.safe_load(PAGE) | {"evaluate": {}}
        written["quantization"] |= yaml.safe_load(snippet)["quantization"]
        (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(written))
        spec = load(tmp_path / "mixed.yaml")
        by_bits = weights_by_bits(spec, count(spec.model))
        assert mean_bits(by_bits) == pytest.approx(choice["bits"])
        assert by_bits[8] // 2 == choice["bytes_more"]
        assert f"{choice['bits']:.2f} on average" in "".join(plan(spec).warnings)
        assert choice["losses_added"] <= 1.1 * best(found["parts"], by_bits[8])


def best(parts: list[dict[str, Any]], room: int) -> float:
    """Try all choices: the least that is lost with so many weights in 8 bits."""
    wide = np.array([*itertools.product((False, True), repeat=len(parts))])
    weights = np.array([part["weights"] for part in parts])
    lost = ~wide @ np.array([part["loss"] for part in parts])
    return float(lost[wide @ weights <= room].min())


def test_what_is_not_rounded_is_not_measured(tmp_path: Path, leangen: Leangen) -> None:
    some_model("llama").save_pretrained(tmp_path / "model")
    byte_level_bpe([AS_GPT_2], ALPHABET, 320).save(
        str(tmp_path / "model" / "tokenizer.json")
    )
    (tmp_path / "text.txt").write_text("")
    page = PAGE.replace("weights: 4, group_size: 16", "weights: 16")
    (tmp_path / "spec.yaml").write_text(page)
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "sensitivity does nothing with weights: 16" in done.stderr
    (tmp_path / "spec.yaml").write_text(PAGE.replace("sensitivity: true", ""))
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    folder = tmp_path / "generated" / "felt"
    assert not [*folder.glob("*sensitivity*"), *folder.glob("model.py")]
