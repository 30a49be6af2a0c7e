"""What matrices lose by their bits is what transformers loses by them, and who gets more."""

import copy
import itertools
import json
import re
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
from leangen.generator.render.build import build
from leangen.spec import load
from tests.conftest import built
from tests.templates.test_exceptions import rounded
from tests.templates.test_formats import ALPHABET, AS_GPT_2, byte_level_bpe, some_model

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


@pytest.fixture(params=["llama-tied", "mixtral"])
def measured(
    request: pytest.FixtureRequest, tmp_path: Path, modules: Modules
) -> tuple[Any, SimpleNamespace]:
    """A model, and the folder in which its bits were measured."""
    model = some_model(request.param, num_hidden_layers=LAYERS)
    copy.deepcopy(model).save_pretrained(tmp_path / "model")
    tokenizer = byte_level_bpe([AS_GPT_2], ALPHABET, size=320)
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "spec.yaml").write_text(PAGE)
    ours = modules(built(tmp_path / "spec.yaml"))
    (ours.artifacts.ARTIFACTS / "data").mkdir(parents=True)
    tokens = tokenizer.encode(Path(json.__file__).read_text()).ids
    text = np.array(tokens, np.uint16)
    np.save(ours.artifacts.ARTIFACTS / "data" / "train.npy", text)
    ours.sensitivity.main()
    return model, ours


@torch.no_grad()
def chances(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(tokens).logits.double().log_softmax(2)
    return found


def test_estimates_are_divergences_and_choices_can_be_pasted(
    measured: tuple[Any, SimpleNamespace],
) -> None:
    model, ours = measured
    found = json.loads((ours.artifacts.ARTIFACTS / "sensitivity.json").read_text())
    are_near_those_of_transformers(model, ours, found["parts"])
    can_be_pasted_and_save_most(ours.artifacts.FOLDER, found)


def are_near_those_of_transformers(
    model: Any, ours: SimpleNamespace, parts: list[dict[str, Any]]
) -> None:
    """Round each part alone in transformers, and see how far its predictions move."""
    whole = copy.deepcopy(model.state_dict())
    text = np.load(ours.artifacts.ARTIFACTS / "data" / "train.npy")
    starts = np.linspace(0, len(text) - 65, 32, dtype=int)
    rows = np.stack([text[start : start + 64] for start in starts])
    tokens = torch.from_numpy(rows.astype(np.int64))
    truth = chances(model, tokens)
    assert len(parts) == LAYERS * (3 if "mixtral" in model.config.model_type else 4)
    near = []
    for part in parts:
        names = rf"layers\.{part['layer']}\..*{PROJECTIONS[part['group']]}"
        model.load_state_dict(whole)
        only(model, names, ours.rounding.quantize, 4)
        expected = (truth.exp() * (truth - chances(model, tokens))).sum(2).mean()
        near.append(part["loss"] / float(expected))
    # A router that chooses other experts has no gradient: less is seen than happens.
    least = 0.3 if "mixtral" in model.config.model_type else 0.6
    assert least < np.exp(np.mean(np.log(near))) < 1.6
    assert np.std(np.log(near)) < 0.4


def only(model: Any, names: str, quantize: Any, bits: int) -> None:
    """Round the matrices of some names, and leave what does not match as it is."""
    before = copy.deepcopy(model.state_dict())
    rounded(model, quantize, bits, "nothing", table=None, scale=torch.float32)
    kept = {n: w for n, w in before.items() if not re.search(names, n)}
    model.load_state_dict(kept, strict=False)


def can_be_pasted_and_save_most(project: Path, found: dict[str, Any]) -> None:
    """Paste the lines of the report, and hold the plan of that against the best choice."""
    report = (project / "artifacts" / "sensitivity.md").read_text()
    snippets = re.findall(r"```yaml\n(.*?)```", report, re.DOTALL)
    losses = [one["loss"] for one in found["choices"]]
    assert losses == sorted(losses, reverse=True)
    some = [one for one in found["choices"][1:-1] if one["exceptions"]]
    for snippet, choice in zip(snippets, some, strict=True):
        written = yaml.safe_load(PAGE) | {"evaluate": {}}
        written["quantization"] |= yaml.safe_load(snippet)["quantization"]
        page = project.parents[1] / "mixed.yaml"
        page.write_text(yaml.safe_dump(written))
        spec = load(page)
        by_bits = weights_by_bits(spec, count(spec.model))
        assert mean_bits(by_bits) == pytest.approx(choice["bits"])
        assert by_bits[8] // 2 == choice["bytes_more"]
        assert f"{choice['bits']:.2f} on average" in "".join(plan(spec).warnings)
        assert choice["estimate"] <= 1.1 * best(found["parts"], by_bits[8])


def best(parts: list[dict[str, Any]], room: int) -> float:
    """Try all choices: the least that is lost with so many weights in 8 bits."""
    wide = np.array([*itertools.product((False, True), repeat=len(parts))])
    weights = np.array([part["weights"] for part in parts])
    lost = ~wide @ np.array([part["loss"] for part in parts])
    return float(lost[wide @ weights <= room].min())


def test_what_is_not_asked_for_is_not_there(tmp_path: Path) -> None:
    some_model("llama").save_pretrained(tmp_path / "model")
    tokenizer = byte_level_bpe([AS_GPT_2], ALPHABET, size=320)
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    files = []
    for page in (PAGE, PAGE.replace("sensitivity: true", "")):
        (tmp_path / "spec.yaml").write_text(page)
        spec = load(tmp_path / "spec.yaml")
        files.append(build(spec, plan(spec)))
    asked, plain = files
    assert {"sensitivity.py", "model.py", "tensors.py"} <= asked.keys() - plain.keys()
    same = ("export.py", "serve.py", "evaluate.py", "rounding.py", "graph.py")
    assert all(asked[name] == plain[name] for name in same)
