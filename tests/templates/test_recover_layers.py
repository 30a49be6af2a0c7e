"""Recovery by layers: the loss is transformers' error, zeros stay, and the dense model comes nearer."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from transformers import AutoConfig, PreTrainedModel

from tests.conftest import Leangen
from tests.templates.test_families import (
    EXPERTS,
    SIZES,
    Case,
    Modules,
    read_back,
    write_checkpoint,
)
from tests.templates.test_structured import CASES, LAYERS, written

PAGE = """\
leangen: 1
name: given
model: {{checkpoint: ./model}}
sparsity: {{{shares}, recover: {{scope: layers, tokens: 4k}}}}
quantization: {{weights: 32}}
target: {{hardware: x86-2core, context: 64}}
serve: {{device: cpu}}
"""
ZEROS = "pattern: 2:4, method: magnitude"
SMALLER = "pattern: structured, calibration_sequences: 16, ratio: 0.33, heads: 0.5"


def streams(model: PreTrainedModel, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What each layer reads, and what the last one makes: (B, T, C) each.

    transformers normalizes the last of its hidden states; a hook sees it before.
    """
    made: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda *seen: made.append(seen[2]))
        for layer in model.model.layers
    ]
    model(tokens)
    for hook in hooks:
        hook.remove()
    return (model.model.embed_tokens(tokens), *made)


def missed(made: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
    """Mean of the squared errors of tokens relative to theirs, and of all relative to all."""
    wrong, size = (made - aim).pow(2).sum(-1), aim.pow(2).sum(-1)
    return ((wrong / size).mean() + wrong.sum() / size.sum()) / 2


class Given(NamedTuple):
    """The modules of a folder whose model is pruned, and transformers' models."""

    ours: SimpleNamespace
    dense: PreTrainedModel
    name: str  # of the pruned checkpoint

    @property
    def pruned(self) -> PreTrainedModel:
        """The pruned model, as transformers reads it."""
        return self.read(self.name)

    def read(self, name: str) -> PreTrainedModel:
        """Let transformers read a checkpoint under artifacts/."""
        return read_back(self.ours.artifacts.ARTIFACTS / name)


@pytest.fixture
def given(request: pytest.FixtureRequest, tmp_path: Path, modules: Modules) -> Given:
    case, shares = request.param
    dense = write_checkpoint(tmp_path / "model", case)
    ours = modules(written(tmp_path, shares, page=PAGE))
    ours.prune.main()
    return Given(ours, dense, "pruned" if shares == SMALLER else "sparse")


FAMILIES = {
    "llama": (CASES["llama"], ZEROS),  # biases, bf16
    "qwen2": (Case("qwen2", LAYERS), ZEROS + ", exempt: [1, v_proj]"),
    "smaller": (CASES["qwen3"], SMALLER),
}
every_family = pytest.mark.parametrize(
    "given", FAMILIES.values(), indirect=True, ids=FAMILIES.keys()
)


@every_family
def test_the_loss_of_a_layer_and_its_gradient_are_torchs(given: Given) -> None:
    recover, pruned = given.ours.recover, given.pruned
    tokens = recover.sequences()[:4]
    with torch.no_grad():
        aim = streams(given.dense, tokens)[2]
    read, made = streams(pruned, tokens)[1:3]
    loss = missed(made, aim)
    loss.backward()  # type: ignore[no-untyped-call]
    layer = given.ours.model.DecoderLayer()
    recover.fill(layer, given.ours.checkpoint.open_checkpoint(given.name), 1)
    found = recover.error(layer, read.detach(), aim)
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-4)
    for name, weight in pruned.model.layers[1].named_parameters():
        ours = layer.get_parameter(name).grad
        assert (ours - weight.grad).norm() < 1e-4 * weight.grad.norm(), name


@every_family
def test_the_dense_model_comes_nearer_and_zeros_stay(given: Given) -> None:
    given.ours.recover.main()
    before, after = given.pruned, given.read("recovered")
    tokens = given.ours.recover.sequences()
    with torch.no_grad():
        *_, aim = streams(given.dense, tokens)
        sparse, better = (missed(streams(m, tokens)[-1], aim) for m in (before, after))
    assert better < 0.9 * sparse
    for name, weight in before.named_parameters():
        recovered = after.get_parameter(name)
        assert ((weight == 0) == (recovered == 0)).all()
        assert (weight != recovered).any() == ("layers" in name), name
    opened = given.ours.checkpoint.open_checkpoint
    assert opened("recovered").dtypes == opened(given.name).dtypes
    kinds = {*opened("recovered").dtypes.values()}
    assert kinds == {*opened("dense").dtypes.values()}


@pytest.mark.parametrize("given", [FAMILIES["llama"]], indirect=True)
def test_a_layer_that_training_makes_worse_stays_as_it_was(given: Given) -> None:
    given.ours.recover.LEARNING_RATE = 9.0
    given.ours.recover.main()
    recovered = given.read("recovered")
    for name, weight in given.pruned.named_parameters():
        assert (weight == recovered.get_parameter(name)).all(), name


def test_a_mixture_of_experts_is_refused_at_build(
    tmp_path: Path, leangen: Leangen
) -> None:
    config = AutoConfig.for_model("mixtral", **SIZES | EXPERTS)
    config.save_pretrained(tmp_path / "model")
    (tmp_path / "spec.yaml").write_text(PAGE.format(shares=ZEROS))
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "recovery by layers for a mixture of experts" in done.stderr
