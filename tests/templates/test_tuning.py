"""Given weights are trained further, pruned and recovered: as transformers would, zeros held."""

import json
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from leangen.generator.plan import plan
from leangen.generator.plan.exempt import exempt_share
from leangen.generator.plan.parameters import count
from leangen.generator.render.build import build
from leangen.spec import load
from tests.conftest import Leangen, write_texts

Modules = Callable[[Path], SimpleNamespace]
BATCH, LENGTH = 4, 32
RATE = 0.1  # which moves weights of 16 bits, too
PAGE = """\
leangen: 1
name: given
model: {{checkpoint: ./model}}
train: {{{train}}}
sparsity: {{{sparsity}}}
target: {{hardware: x86-2core, context: 32}}
serve: {{device: cpu}}
"""
STEP = f"tokens: {BATCH * LENGTH}, batch_size: {BATCH}, learning_rate: {RATE}"
DENSE = "pattern: dense"
SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "num_local_experts": 4,  # of those that have any
    "num_experts_per_tok": 2,
}


class Case(NamedTuple):
    """A family in a type, with features of its own."""

    kind: str
    dtype: torch.dtype = torch.float32
    features: Mapping[str, Any] = MappingProxyType({})


CASES = {
    "llama": Case("llama"),
    "llama-bf16": Case("llama", torch.bfloat16, {"attention_bias": True}),
    "qwen2-tied": Case("qwen2", torch.bfloat16, {"tie_word_embeddings": True}),
    "qwen3-tied": Case("qwen3", features={"tie_word_embeddings": True, "head_dim": 32}),
    "mistral-f16": Case("mistral", torch.float16, {"sliding_window": 16}),
    "mixtral": Case("mixtral", torch.bfloat16),
    "qwen3_moe": Case(
        "qwen3_moe",
        features={"moe_intermediate_size": 32, "head_dim": 32, "norm_topk_prob": True},
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def write_checkpoint(folder: Path, case: Case) -> None:
    """Let transformers write random weights, large enough that each of them matters."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(case.kind, **SIZES | dict(case.features))
    make: Callable[..., PreTrainedModel] = AutoModelForCausalLM.from_config
    model = make(config, dtype=case.dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            center = 1.0 if "norm" in name else 0.0
            scale = 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5
            weight.normal_(center, scale)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")


def read_back(folder: Path) -> PreTrainedModel:
    """Load a folder in 32 bits."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, PreTrainedModel)
    return model


@pytest.fixture
def tuned(
    tmp_path: Path, modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., SimpleNamespace]:
    """Build a spec for a checkpoint of a case, with a text of a few words beside it."""

    def make(case: Case, train: str, sparsity: str) -> SimpleNamespace:
        write_checkpoint(tmp_path / "model", case)
        spec = tmp_path / "spec.yaml"
        spec.write_text(PAGE.format(train=train, sparsity=sparsity))
        folder = tmp_path / "generated" / "given"
        folder.mkdir(parents=True)
        for name, text in build(load(spec), plan(load(spec))).items():
            (folder / name).write_text(text)
        ours = modules(folder)
        monkeypatch.setattr(ours.training, "catch_signals", list)
        tokens = np.random.default_rng(0).integers(0, 12, 600).astype(np.uint8)
        for split in ("train", "val"):
            file = f"data/{split}.npy"
            with ours.artifacts.writing(file) as partial, partial.open("wb") as opened:
                np.save(opened, tokens)
        return ours

    return make


def transformers_step(model: PreTrainedModel, tokens: torch.Tensor) -> None:
    """Take one step of AdamW in 32 bits; a schedule of one step ends at a tenth."""
    logits = model(tokens[:, :-1]).logits
    loss: Any = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    parameters = [*model.parameters()]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    groups: Any = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    torch.optim.AdamW(groups, lr=RATE / 10, betas=(0.9, 0.95)).step()


@every_case
def test_a_step_of_fine_tuning_is_a_step_of_transformers(
    case: Case, tuned: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    ours = tuned(case, STEP, DENSE)
    ours.train.main()
    theirs = read_back(tmp_path / "model")
    before = {key: weight.clone() for key, weight in theirs.state_dict().items()}
    text = ours.tensors.load_tokens("train")
    transformers_step(theirs, ours.training.draw(text, SimpleNamespace(seed=0), 1))
    found = read_back(ours.artifacts.ARTIFACTS / "tuned").state_dict()
    for key, expected in theirs.state_dict().items():
        step = found[key] - before[key]
        rounded = expected.to(case.dtype).float() - before[key]
        assert (step != 0).any(), key
        alike = torch.isclose(step, rounded, atol=RATE / 1000).float().mean()
        assert alike > 0.999, key  # a gradient near 0 may have either sign


@pytest.mark.parametrize(
    ("name", "distill"), [*zip(CASES, cycle(["true", "false"]), strict=False)]
)
def test_zeros_and_types_are_held_on_the_way(
    name: str, distill: str, tuned: Callable[..., SimpleNamespace]
) -> None:
    """With a teacher for every second one: what it does is the same in all families."""
    recover = f"recover: {{tokens: 1k, learning_rate: 1e-2, distill: {distill}}}"
    sparsity = f"pattern: 2:4, method: magnitude, exempt: 1, {recover}"
    train = "batch_size: 4, tokens: 1k, learning_rate: 1e-2"
    ours = tuned(CASES[name], train, sparsity)
    for stage in (ours.train, ours.prune, ours.recover):
        stage.main()
    names = ("dense", "tuned", "sparse", "recovered")
    ways = [ours.checkpoint.open_checkpoint(way) for way in names]
    assert all(way.dtypes == ways[0].dtypes for way in ways)
    pruned = [key for key in ways[0].dtypes if ours.architecture.is_pruned(key)]
    for key in pruned:
        dense, tuned_, sparse, recovered = (way.read(key) for way in ways)
        whole = key.startswith("model.layers.1.")
        assert ((sparse == 0).mean() == 0.5) != whole, key
        assert ((sparse == 0) == (recovered == 0)).all(), key
        assert (dense != tuned_).any()
        assert (sparse != recovered).any()
        assert (sparse == tuned_)[sparse != 0].all()


def test_a_state_is_saved_when_its_minutes_are_over_and_at_the_end(
    tuned: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state is three times the model: a validation alone is no reason to write it."""
    ours = tuned(CASES["llama"], "tokens: 5k, batch_size: 4", DENSE)
    saved = []

    def save(*state: Any) -> None:
        saved.append(len(state[-1]))

    monkeypatch.setattr(ours.training, "save_state", save)
    ours.train.main()
    assert saved == [40]  # steps in the log


def test_a_tuning_that_was_stopped_goes_on(
    tuned: Callable[..., SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = tuned(CASES["qwen2-tied"], "tokens: 1k, batch_size: 4", DENSE)
    weights = ours.artifacts.ARTIFACTS / "tuned" / "model.safetensors"
    ours.train.main()
    whole = weights.read_bytes()
    weights.unlink()
    monkeypatch.setattr(ours.training, "catch_signals", lambda: [15])
    with pytest.raises(SystemExit):
        ours.train.main()
    assert not weights.exists()
    monkeypatch.setattr(ours.training, "catch_signals", list)
    ours.train.main()
    assert "going on after step 1" in capsys.readouterr().out
    assert weights.read_bytes() == whole


def test_a_teacher_on_a_gpu_has_16_bits_and_teaches_the_same(
    tuned: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda **_: lambda function: function)
    train = "batch_size: 4, precision: bf16, hardware: h100-80gb"
    recover = "recover: {tokens: 1k, distill: true}"
    sparsity = f"pattern: 2:4, method: magnitude, {recover}"
    ours = tuned(CASES["qwen2-tied"], train, sparsity)
    for module in (ours.tensors, ours.training, ours.recover):
        monkeypatch.setattr(module, "DEVICE", "cpu")
    teacher, whole = ours.recover.load_teacher(), ours.tensors.load_model("dense")
    assert {weight.dtype for weight in teacher.parameters()} == {torch.bfloat16}
    assert teacher.model.rotary.dtype == torch.float32
    batch = ours.training.draw(
        ours.tensors.load_tokens("train"), SimpleNamespace(seed=0), 1
    )
    student = ours.tensors.load_model("dense")
    losses = [
        ours.recover.distill_loss(t, student, batch).item() for t in (teacher, whole)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


RUN = """\
leangen: 1
name: given
model: {checkpoint: model}
data: {source: text, path: "corpus/*.txt"}
train: {tokens: 40k, batch_size: 8, learning_rate: 3e-3}
sparsity:
  pattern: 2:4
  calibration_sequences: 8
  exempt: [0, down_proj, 1.o_proj]
  recover: {tokens: 20k, learning_rate: 1e-3, distill: true}
quantization: {weights: 8, group_size: 16}
evaluate: {tokens: 2048}
target: {hardware: x86-2core, context: 64}
serve: {device: cpu}
"""


def test_a_run_tunes_prunes_and_recovers(tmp_path: Path, leangen: Leangen) -> None:
    write_texts(tmp_path)
    features = {"vocab_size": 320, "tie_word_embeddings": True}
    write_checkpoint(tmp_path / "model", Case("llama", torch.bfloat16, features))
    learner = ByteLevelBPETokenizer()
    texts = [str(text) for text in (tmp_path / "corpus").iterdir()]
    learner.train(texts, vocab_size=320, show_progress=False)
    learner.save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "spec.yaml").write_text(RUN)
    for verb in ("build", "run"):
        done = leangen(verb, "spec.yaml", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "generated" / "given" / "artifacts" / "report.json"
    models = json.loads(report.read_text())["models"]
    assert [*models] == ["dense", "tuned", "sparse", "recovered", "exported"]
    losses = {name: models[name]["perplexity"]["test"] for name in models}
    assert losses["tuned"] < losses["dense"] / 2
    assert losses["recovered"] < losses["sparse"]
    spec = load(tmp_path / "spec.yaml")
    share = (1 - exempt_share(spec, count(spec.model))) / 2
    assert [models[name]["zeros"] for name in ("dense", "tuned")] == [0, 0]
    for name in ("sparse", "recovered"):
        assert models[name]["zeros"] == pytest.approx(share)
    again = leangen("run", "spec.yaml", cwd=tmp_path)
    assert again.stderr.count("nothing changed, skipped") == 6, again.stderr
