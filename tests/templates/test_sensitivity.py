"""What matrices lose by bits and zeros is what transformers loses, and who is spared."""

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
from leangen.generator.plan.exempt import exempt_share
from leangen.generator.plan.named import mean_bits, weights_by_bits
from leangen.generator.plan.parameters import count
from leangen.generator.render.build import build
from leangen.spec import load
from tests.conftest import built
from tests.templates.test_exceptions import rounded
from tests.templates.test_formats import ALPHABET, AS_GPT_2, byte_level_bpe, some_model

Modules = Callable[[Path], SimpleNamespace]
Measure = Callable[[str, str], SimpleNamespace]

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
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A model of transformers, whose checkpoint lies where the spec looks for it."""
    made = some_model(request.param, num_hidden_layers=LAYERS)
    copy.deepcopy(made).save_pretrained(tmp_path / "model")
    return made


@pytest.fixture
def measure(tmp_path: Path, modules: Modules) -> Measure:
    """Build what a page says, and run one of its stages on a text of some tokens."""

    def measure(page: str, stage: str) -> SimpleNamespace:
        tokenizer = byte_level_bpe([AS_GPT_2], ALPHABET, size=320)
        tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
        (tmp_path / "spec.yaml").write_text(page)
        ours = modules(built(tmp_path / "spec.yaml"))
        (ours.artifacts.ARTIFACTS / "data").mkdir(parents=True)
        tokens = tokenizer.encode(Path(json.__file__).read_text()).ids
        text = np.array(tokens, np.uint16)
        np.save(ours.artifacts.ARTIFACTS / "data" / "train.npy", text)
        getattr(ours, stage).main()
        return ours

    return measure


@torch.no_grad()
def chances(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(tokens).logits.double().log_softmax(2)
    return found


def test_estimates_are_divergences_and_choices_can_be_pasted(
    model: Any, measure: Measure
) -> None:
    ours = measure(PAGE, "sensitivity")
    found = json.loads((ours.artifacts.ARTIFACTS / "sensitivity.json").read_text())
    quantize = ours.rounding.quantize
    near = beside_transformers(
        model, ours, found["parts"], lambda names: only(model, names, quantize, 4)
    )
    # A router that chooses other experts has no gradient: less is seen than happens.
    least = 0.3 if "mixtral" in model.config.model_type else 0.6
    assert least < np.exp(np.mean(near)) < 1.6
    assert np.std(near) < 0.4
    can_be_pasted_and_save_most(ours.artifacts.FOLDER, found)


@pytest.mark.parametrize(
    ("model", "method"),
    [("llama-tied", "wanda"), ("llama-tied", "magnitude"), ("mixtral", "magnitude")],
    indirect=["model"],
)
def test_exemptions_share_the_loss_out_and_can_be_pasted(
    model: Any, method: str, measure: Measure
) -> None:
    page = f"{PAGE}sparsity: {{pattern: '2:4', method: {method}}}\n"
    ours = measure(page, "exemptions")
    found = json.loads((ours.artifacts.ARTIFACTS / "exemptions.json").read_text())
    tokens = calibration(ours)
    norms = input_norms(model, tokens) if method == "wanda" else {}
    gone = {name: zeros(weight, norms.get(name)) for name, weight in pruned(model)}
    whole, seen, other = copy.deepcopy(model), tokens[:8], tokens[-8:]
    losses = [part["loss"] for part in found["parts"]]
    expected = shared_out(model, whole, gone, found["parts"], seen)
    assert losses == pytest.approx(expected, rel=0.02, abs=0.01 * max(losses))
    faded(model, whole, gone, 0)
    # A router that chooses other experts has no slope.
    error = 0.2 if "mixtral" in model.config.model_type else 0.03
    assert sum(losses) == pytest.approx(lost(model, whole, seen).item(), rel=error)
    first = found["choices"][0]
    assert first["loss"] == pytest.approx(lost(model, whole, other).item(), rel=1e-3)
    exempt_as_pasted(ours.artifacts.FOLDER, page, found)


def calibration(ours: SimpleNamespace) -> torch.Tensor:
    """Cut the sequences that the stages read."""
    text = np.load(ours.artifacts.ARTIFACTS / "data" / "train.npy")
    starts = np.linspace(0, len(text) - 65, 32, dtype=int)
    rows = np.stack([text[start : start + 64] for start in starts])
    return torch.from_numpy(rows.astype(np.int64))


def beside_transformers(
    model: Any,
    ours: SimpleNamespace,
    parts: list[dict[str, Any]],
    change: Callable[[str], None],
) -> list[float]:
    """Change each part alone in transformers: logarithms of estimates over measurements."""
    whole, tokens = copy.deepcopy(model.state_dict()), calibration(ours)
    truth = chances(model, tokens)
    assert len(parts) == LAYERS * (3 if "mixtral" in model.config.model_type else 4)
    near = []
    for part in parts:
        model.load_state_dict(whole)
        change(rf"layers\.{part['layer']}\..*{PROJECTIONS[part['group']]}")
        expected = (truth.exp() * (truth - chances(model, tokens))).sum(2).mean()
        near.append(np.log(part["loss"] / float(expected)))
    return near


@torch.no_grad()
def input_norms(model: Any, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Norms of what the matrices of the layers read, by their names."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "layers" in name:

            def note(_: Any, inputs: Any, name: str = f"{name}.weight") -> None:
                found[name] = inputs[0].flatten(0, -2).norm(dim=0)

            module.register_forward_pre_hook(note)
    model(tokens)
    return found


def pruned(model: Any) -> list[tuple[str, Any]]:
    """List the matrices that a pattern is for, with their names."""
    every = "|".join(PROJECTIONS.values())
    return [(n, w) for n, w in model.named_parameters() if re.search(every, n)]


def zeros(weight: Any, norms: torch.Tensor | None) -> Any:
    """Mark two of four neighbours: the lower scores."""
    scores = weight.detach().abs() * (1 if norms is None else norms)
    ranks = scores.unflatten(-1, (-1, 4)).argsort(-1).argsort(-1)
    return (ranks < 2).flatten(-2)


@torch.no_grad()
def faded(model: Any, whole: Any, gone: dict[str, torch.Tensor], share: float) -> None:
    """Leave so much of what goes."""
    for name, matrix in pruned(model):
        weight = whole.get_parameter(name)
        matrix.copy_(torch.where(gone[name], share * weight, weight))


def lost(model: Any, whole: Any, tokens: torch.Tensor) -> Any:
    """Measure how far predictions are from the whole model's."""
    truth, found = chances(whole, tokens), model(tokens).logits.double().log_softmax(2)
    return (truth.exp() * (truth - found)).sum(2).mean()


def shared_out(
    model: Any,
    whole: Any,
    gone: dict[str, torch.Tensor],
    parts: list[dict[str, Any]],
    tokens: torch.Tensor,
) -> list[float]:
    """Add up slopes at more points than the script takes, in transformers."""
    shares, points = [0.0] * len(parts), 32
    for point in range(points):
        faded(model, whole, gone, (point + 0.5) / points)
        model.zero_grad()
        lost(model, whole, tokens).backward()
        for number, part in enumerate(parts):
            names = rf"layers\.{part['layer']}\..*{PROJECTIONS[part['group']]}"
            for name, matrix in pruned(model):
                if re.search(names, name):
                    away = whole.get_parameter(name).detach()[gone[name]]
                    slope = matrix.grad[gone[name]] @ away
                    shares[number] -= float(slope) / points
    return shares


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


def exempt_as_pasted(project: Path, page: str, found: dict[str, Any]) -> None:
    """Paste the lines of the report, and find as much dense as was promised, and the best."""
    report = (project / "artifacts" / "exemptions.md").read_text()
    snippets = re.findall(r"```yaml\n(.*?)```", report, re.DOTALL)
    some = [one for one in found["choices"] if one["exempt"]]
    assert found["choices"][0]["exempt"] == []
    assert min(one["loss"] for one in some) < found["choices"][0]["loss"]
    for snippet, choice in zip(snippets, some, strict=True):
        written = yaml.safe_load(page) | {"evaluate": {}}
        written["sparsity"] |= yaml.safe_load(snippet)["sparsity"]
        mixed = project.parents[1] / "mixed.yaml"
        mixed.write_text(json.dumps(written))
        spec = load(mixed)
        counts = count(spec.model)
        share = exempt_share(spec, counts)
        assert share == pytest.approx(choice["dense"])
        dense = round(share * counts.matrices)
        assert choice["estimate"] <= 1.2 * best(found["parts"], dense)


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
    sparse = f"{PAGE}sparsity: {{pattern: 2:4}}\n"
    floats = sparse.replace("weights: 4, group_size: 16", "weights: 16")
    files = []
    for page in (PAGE, PAGE.replace("sensitivity: true", ""), sparse, floats):
        (tmp_path / "spec.yaml").write_text(page)
        spec = load(tmp_path / "spec.yaml")
        files.append(build(spec, plan(spec)))
    asked, plain, zeros, only_zeros = files
    assert {"sensitivity.py", "model.py", "tensors.py"} <= asked.keys() - plain.keys()
    same = ("export.py", "serve.py", "evaluate.py", "rounding.py", "graph.py")
    assert all(asked[name] == plain[name] for name in same)
    stages = {"exemptions.py", "sensitivity.py"}
    found = [stages & made.keys() for made in (asked, zeros, only_zeros)]
    assert found == [{"sensitivity.py"}, stages, {"exemptions.py"}]
    assert zeros["exemptions.py"] == only_zeros["exemptions.py"]
