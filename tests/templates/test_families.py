"""Every family: our torch and our ONNX make of a checkpoint what transformers makes of it."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
)
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import load

Modules = Callable[[Path], SimpleNamespace]
Leangen = Callable[..., subprocess.CompletedProcess[str]]
LENGTH = 48  # tokens of the text: past the window of those that have one
WINDOW = 16
CHUNKS = [5, 23, 7, *[1] * (LENGTH - 35)]  # of which one is longer than the window
GROUP = 16
SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
EVERYWHERE = {"use_sliding_window": True, "max_window_layers": 0}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN_EXPERTS = EXPERTS | {"moe_intermediate_size": 32, "head_dim": 32}
PAGE = """\
leangen: 1
name: given
model: {{checkpoint: ./model}}
sparsity: {{pattern: unstructured, ratio: 0.5, method: magnitude}}
quantization: {{{quantization}}}
target: {{hardware: x86-2core, context: 64}}
serve: {{device: cpu}}
"""


class Case(NamedTuple):
    """A family with features of its own, in a type, and in shards of at most so much."""

    kind: str
    features: Mapping[str, Any] = MappingProxyType({})
    dtype: torch.dtype = torch.float32
    shard: str = "1GB"


CASES = {
    "llama": Case("llama"),
    "llama-biases": Case(
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        torch.bfloat16,
        "40KB",
    ),
    "llama-3": Case("llama", {"rope_parameters": LLAMA3}, torch.bfloat16),
    "llama-heads-of-8": Case("llama", {"num_attention_heads": 8}),
    "llama-heads-of-24": Case("llama", {"head_dim": 24, "attention_bias": True}),
    "mistral": Case("mistral", {"sliding_window": WINDOW}, torch.bfloat16),
    "mistral-no-window": Case("mistral", {"sliding_window": None, "head_dim": 32}),
    "qwen2": Case("qwen2", {"tie_word_embeddings": True}, torch.bfloat16, "40KB"),
    "qwen2-window": Case("qwen2", {"sliding_window": WINDOW, **EVERYWHERE}),
    "qwen3": Case("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "qwen3-heads-of-8": Case(
        "qwen3",
        {"head_dim": 8, "attention_bias": True, "sliding_window": WINDOW, **EVERYWHERE},
    ),
    "mixtral": Case("mixtral", EXPERTS, torch.bfloat16, "80KB"),
    "mixtral-window": Case("mixtral", EXPERTS | {"sliding_window": WINDOW}),
    "qwen3_moe": Case("qwen3_moe", QWEN_EXPERTS | {"norm_topk_prob": True}),
    "qwen3_moe-whole-shares": Case(
        "qwen3_moe", QWEN_EXPERTS | {"norm_topk_prob": False}, torch.bfloat16
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def write_checkpoint(folder: Path, case: Case) -> PreTrainedModel:
    """Let transformers write random weights, large enough that each of them matters."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(case.kind, **SIZES | dict(case.features))
    make: Callable[..., PreTrainedModel] = AutoModelForCausalLM.from_config
    model = make(config, dtype=case.dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            center = 1.0 if "norm" in name else 0.0
            weight.normal_(
                center, 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5
            )
    model.save_pretrained(folder, max_shard_size=case.shard)
    assert (len([*folder.glob("*.safetensors")]) > 1) == (case.shard != "1GB")
    Tokenizer(models.BPE()).save(str(folder / "tokenizer.json"))  # which none reads
    return read_back(folder)


def read_back(folder: Path) -> PreTrainedModel:
    """Load a folder in 32 bits, as the scripts do."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, PreTrainedModel)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def build_beside(root: Path, quantization: str, prune: bool = True) -> Path:
    """Write the scripts for the checkpoint in a folder."""
    page = PAGE.format(quantization=quantization)
    lines = [line for line in page.splitlines() if prune or "sparsity" not in line]
    (root / "spec.yaml").write_text("\n".join(lines))
    spec = load(root / "spec.yaml")
    folder = root / "generated" / quantization.replace(": ", "")
    folder.mkdir(parents=True)
    for name, text in build(spec, plan(spec)).items():
        (folder / name).write_text(text)
    return folder


def text() -> list[int]:
    tokens = np.random.default_rng(0).integers(0, 96, LENGTH)
    return [*map(int, tokens)]


@torch.no_grad()
def logits_of(model: torch.nn.Module) -> np.ndarray:
    """What transformers, or model.py, says to the text: (T, V)."""
    out = model(torch.tensor([text()]))
    return (out if isinstance(out, torch.Tensor) else out.logits)[0].numpy()


def stepwise(decoder: Any) -> np.ndarray:
    """What the engine says to the text, in chunks and then token by token: (T, V)."""
    found, tokens = [], text()
    decoder.length = 0
    for step in CHUNKS:
        start = decoder.length
        found.append(decoder.forward(tokens[start : start + step], range(step)).copy())
    return np.concatenate(found)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def ours_in_torch(ours: SimpleNamespace) -> torch.nn.Module:
    """Fill model.py with the given checkpoint's weights."""
    model: torch.nn.Module = ours.model.CausalLM()
    checkpoint = ours.checkpoint.open_checkpoint("dense")
    for name, weight in model.state_dict().items():
        weight.copy_(torch.from_numpy(checkpoint.read(name)))
    return model


@every_case
def test_torch_and_onnx_agree_with_transformers(
    case: Case, tmp_path: Path, modules: Modules
) -> None:
    """Half of the weights are removed on the way: what we write is read, too."""
    dense = logits_of(write_checkpoint(tmp_path / "model", case))
    ours = modules(build_beside(tmp_path, "weights: 32"))
    assert np.abs(logits_of(ours_in_torch(ours)) - dense).max() < 1e-4
    ours.prune.main()
    sparse = logits_of(read_back(ours.artifacts.ARTIFACTS / "sparse"))
    assert off(sparse, dense) > 0.1
    ours.export.main()
    exported = ours.decoder.Decoder("model.onnx")
    assert np.abs(stepwise(exported) - sparse).max() < 1e-3
    rows = WINDOW + 1 if case.features.get("sliding_window") else 64
    assert exported.buffers["past_key_values.0.key"].shape[2] == rows
    for name, expected in (("dense", dense), ("sparse", sparse)):
        given = ours.instrument.Model(name, {})
        found = given.logits(stepwise(given.decoder))
        assert np.abs(found - expected).max() < 1e-3


def attend_to_integers(scales: Mapping[str, np.ndarray]) -> str:
    """Teach transformers to round keys, once they are rotated, and values; name that."""

    def attend(
        module: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any
    ) -> Any:
        def held(what: torch.Tensor, kind: str) -> torch.Tensor:
            scale = torch.from_numpy(scales[f"scales.{module.layer_idx}.{kind}"])
            return torch.round(what / scale).clip(-128, 127) * scale

        attention = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return attention(
            module, query, held(key, "key"), held(value, "value"), *rest, **more
        )

    AttentionInterface.register("integers", attend)
    AttentionMaskInterface.register("integers", sdpa_mask)
    return "integers"


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"qwen3-heads-of-8"}))
def test_a_cache_of_8_bits_is_attention_to_keys_and_values_that_are_rounded(
    name: str, tmp_path: Path, modules: Modules
) -> None:
    """Also those of the tokens of one chunk, to each other."""
    model = write_checkpoint(tmp_path / "model", CASES[name])
    before = logits_of(model)
    ours = modules(build_beside(tmp_path, "weights: 32, kv_cache: 8", prune=False))
    (ours.artifacts.ARTIFACTS / "data").mkdir(parents=True)
    tokens = np.random.default_rng(1).integers(0, 96, 1024).astype(np.uint16)
    np.save(ours.artifacts.ARTIFACTS / "data" / "train.npy", tokens)
    ours.export.main()
    ours.calibrate.main()
    with np.load(ours.artifacts.ARTIFACTS / "cache_scales.npz") as opened:
        scales = dict(opened)
    model.set_attn_implementation(attend_to_integers(scales))
    expected = logits_of(model)
    cost = off(before, expected)
    assert 1e-3 < cost < 0.05
    decoder = ours.decoder.Decoder("model.onnx")
    assert decoder.buffers["past_key_values.0.key"].dtype == np.int8
    apart = [off(*row) for row in zip(stepwise(decoder), expected, strict=True)]
    # What lies between two levels may become the other one, and move all that follows.
    assert min(apart) < 1e-5
    assert np.median(apart) < cost / 10
    whole = stepwise(ours.decoder.Decoder("float_cache.onnx"))
    assert np.abs(whole - before).max() < 1e-3


def spell_as_4_does(config: Path) -> None:
    """Rewrite a config.json as transformers 4.57 has it: other keys say the same."""
    words = json.loads(config.read_text())
    rope = words.pop("rope_parameters")
    words["rope_theta"] = rope.pop("rope_theta")
    words["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    words["torch_dtype"] = words.pop("dtype")
    if words["model_type"] == "qwen3_moe":
        words["num_experts"] = words.pop("num_local_experts")
    config.write_text(json.dumps(words))


@pytest.mark.parametrize("name", ["llama-3", "mixtral", "qwen3_moe"])
def test_a_folder_of_transformers_4_is_read_and_what_we_write_suits_both(
    name: str, tmp_path: Path, modules: Modules
) -> None:
    dense = logits_of(write_checkpoint(tmp_path / "model", CASES[name]))
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    spell_as_4_does(tmp_path / "model" / "config.json")
    older = json.loads((tmp_path / "model" / "config.json").read_text())
    ours = modules(build_beside(tmp_path, "weights: 32"))
    assert np.abs(logits_of(ours_in_torch(ours)) - dense).max() < 1e-4
    ours.prune.main()
    both = json.loads((ours.artifacts.ARTIFACTS / "sparse" / "config.json").read_text())
    assert {key: both[key] for key in older} == older
    assert both["rope_parameters"] == written["rope_parameters"]
    assert both.get("num_local_experts") == written.get("num_local_experts")
    assert both["dtype"] == written["dtype"]


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Round a matrix as llama.cpp's Q4_0 does, and turn it back: (out, in)."""
    groups = weight.reshape(-1, GROUP)
    extreme = groups.gather(1, groups.abs().argmax(1, keepdim=True))
    scale = -extreme / 2 ** (bits - 1)
    levels = torch.round(groups / torch.where(scale == 0, 1, scale))
    back: torch.Tensor = levels.clip(max=2 ** (bits - 1) - 1) * scale
    return back.view_as(weight)


@torch.no_grad()
def round_all(model: PreTrainedModel, bits: int) -> None:
    """Round what an export rounds: the layers' matrices, and the head, to 8 bits."""
    if bits > 8:
        for name, weight in model.named_parameters():
            if bits == 16 and weight.ndim > 1 and not name.endswith("gate.weight"):
                weight.copy_(weight.half())
        return
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "layers" in name and not name.endswith("gate.weight"):
            weight.copy_(rounded(weight, bits))
        if "embed_tokens" in name and not model.config.tie_word_embeddings:
            weight.copy_(weight.half())  # a table beside the head
        elif name in ("lm_head.weight", "model.embed_tokens.weight"):
            weight.copy_(rounded(weight, 8))


@every_case
@pytest.mark.parametrize("bits", [4, 8])
def test_an_export_in_integers_is_the_model_with_its_weights_rounded(
    bits: int, case: Case, tmp_path: Path, modules: Modules
) -> None:
    write_checkpoint(tmp_path / "model", case)
    whole = bits == 4 or "num_local_experts" not in case.features
    arithmetic = "float32" if whole else "int8"  # the only one of experts of 8 bits
    fields = f"weights: {bits}, group_size: {GROUP}, arithmetic: {arithmetic}"
    ours = modules(build_beside(tmp_path, fields))
    ours.prune.main()
    model = read_back(ours.artifacts.ARTIFACTS / "sparse")
    before = logits_of(model)
    round_all(model, bits)
    expected = logits_of(model)
    assert off(before, expected) > 5e-3
    ours.export.main()
    found = stepwise(ours.decoder.Decoder("model.onnx"))
    if whole:
        assert off(found, expected) < 1e-3
    else:  # a token may go to another expert: that of most does not
        apart = [off(*row) for row in zip(found, expected, strict=True)]
        assert np.median(apart) < 0.02


ON_CPU = """

DEVICE = "cpu"


def require_gpu() -> None:
    pass


def peak_device_bytes() -> int:
    return 1
"""


def build_for_gpu(root: Path, quantization: str) -> Path:
    """Write the scripts of a GPU, and move them to the CPU."""
    page = PAGE.replace(
        "target: {{", "train: {{hardware: h200, precision: float32}}\ntarget: {{"
    )
    (root / "spec.yaml").write_text(page.format(quantization=quantization))
    spec = load(root / "spec.yaml")
    folder = root / "generated" / "gpu"
    folder.mkdir(parents=True)
    for name, text in build(spec, plan(spec)).items():
        text += ON_CPU if name == "tensors.py" else ""
        (folder / name).write_text(text.replace('DEVICE = "cuda"', 'DEVICE = "cpu"'))
    return folder


@every_case
@pytest.mark.parametrize("bits", [4, 16, 32])
def test_the_instrument_of_a_gpu_agrees_with_transformers(
    bits: int, case: Case, tmp_path: Path, modules: Modules
) -> None:
    """A layer at a time; the exported model by the weights that it is exported with."""
    dense = logits_of(write_checkpoint(tmp_path / "model", case))
    fields = f"weights: {bits}" + (f", group_size: {GROUP}" if bits == 4 else "")
    ours = modules(build_for_gpu(tmp_path, fields))
    ours.prune.main()
    sparse = read_back(ours.artifacts.ARTIFACTS / "sparse")
    before = logits_of(sparse)
    round_all(sparse, bits)
    expected = {"dense": dense, "sparse": before, "exported": logits_of(sparse)}
    rows = [np.array([*text(), 0]), np.array([*text()[::-1], 0])]
    for name, logits in expected.items():
        model = ours.instrument.Model(name, {"some": rows})
        (found,) = model.logits(model.streams["some"][0])
        assert np.abs(found.numpy() - logits).max() < 1e-3
        zeros = 0.0 if name == "dense" else 0.5
        assert model.figures()["zeros"] == pytest.approx(zeros, abs=0.06)


REFUSED = {
    "yarn": (
        Case("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
        "weights: 32",
        'rotary scaling of type "yarn"',
    ),
    "gelu": (Case("llama", {"hidden_act": "gelu"}), "weights: 32", '"gelu"'),
    "dense-and-sparse": (
        Case("qwen3_moe", QWEN_EXPERTS | {"mlp_only_layers": [0]}),
        "weights: 32",
        "both dense and sparse layers",
    ),
    "window-in-some-layers": (
        Case(
            "qwen2",
            {
                "sliding_window": WINDOW,
                "use_sliding_window": True,
                "max_window_layers": 1,
            },
        ),
        "weights: 32",
        "a sliding window of 16 tokens in some layers alone",
    ),
    "heads-of-12": (Case("llama", {"head_dim": 12}), "weights: 32", "heads 12 wide"),
    "cache-of-8-bits": (
        CASES["qwen3-heads-of-8"],
        "weights: 32, kv_cache: 8",
        "8 bits for a window of heads 8 wide",
    ),
    "experts-of-8-bits": (
        Case("mixtral", EXPERTS),
        "weights: 8, group_size: 16, arithmetic: float32",
        "experts of 8 bits in float32 arithmetic",
    ),
}


@pytest.mark.parametrize(
    ("case", "quantization", "word"), REFUSED.values(), ids=REFUSED.keys()
)
def test_what_cannot_be_exact_is_refused_at_build(
    case: Case, quantization: str, word: str, tmp_path: Path, leangen: Leangen
) -> None:
    config = AutoConfig.for_model(case.kind, **SIZES | dict(case.features))
    config.save_pretrained(tmp_path / "model")
    (tmp_path / "spec.yaml").write_text(PAGE.format(quantization=quantization))
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert word in done.stderr
    assert not (tmp_path / "generated").exists()
