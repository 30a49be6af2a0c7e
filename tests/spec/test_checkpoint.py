"""What a checkpoint's config.json says, and what its family says where it is silent."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leangen.spec import LeangenError, Spec, load
from leangen.spec.catalogue.models import FAMILIES, MODEL_TYPES
from leangen.spec.catalogue.shape import shape_of

SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
PAGE = """\
leangen: 1
name: given
model: {checkpoint: model}
target: {hardware: rtx-3090, context: 128}
"""


def opened(tmp_path: Path, config: str, page: str = PAGE) -> Spec | str:
    """Load a page beside a checkpoint: the spec, or what the error says."""
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "config.json").write_text(config)
    (tmp_path / "spec.yaml").write_text(page)
    try:
        return load(tmp_path / "spec.yaml")
    except LeangenError as error:
        assert all(found.line for found in error.diagnostics)
        return str(error)


def small(kind: str = "llama", **fields: Any) -> str:
    return json.dumps({"model_type": kind, **SMALL, **fields})


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_an_absent_name_is_what_transformers_makes_of_it(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoConfig.for_model(kind, **SMALL)
    ours = shape_of({"model_type": kind, **SMALL})
    width = SMALL["hidden_size"] // SMALL["num_attention_heads"]
    assert ours["head_dim"] == getattr(theirs, "head_dim", None) or width
    assert ours["num_key_value_heads"] == theirs.num_key_value_heads
    assert ours["rope_theta"] == theirs.rope_parameters["rope_theta"]
    assert ours["rms_norm_eps"] == theirs.rms_norm_eps
    assert ours["tie_word_embeddings"] == theirs.tie_word_embeddings
    assert ours["sliding_window"] == getattr(theirs, "sliding_window", None)
    if "num_experts" in ours:
        assert ours["num_experts"] == theirs.num_local_experts
        assert ours["num_experts_per_tok"] == theirs.num_experts_per_tok


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_what_transformers_writes_is_read(kind: str, tmp_path: Path) -> None:
    own = {"num_key_value_heads": 2, "rope_theta": 5e5, "rms_norm_eps": 1e-4}
    if kind in ("mixtral", "qwen3_moe"):
        own |= {"num_local_experts": 6, "num_experts_per_tok": 2}
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoConfig.for_model(kind, **SMALL | own)
    theirs.rope_parameters = {"rope_type": "default", "rope_theta": 5e5}
    theirs.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert "rope_theta" not in written  # transformers 5 writes it elsewhere
    shape = shape_of(written)
    for name in {*own, "head_dim"} - {"num_local_experts"}:
        assert shape[name] == own.get(name, written.get("head_dim") or 16)
    assert shape.get("num_experts", 6) == 6


def test_a_null_is_derived_and_no_window() -> None:
    nulls = {"num_key_value_heads": None, "head_dim": None, "sliding_window": None}
    for kind in MODEL_TYPES:
        shape = shape_of({"model_type": kind, **SMALL, **nulls})
        assert [shape[name] for name in nulls] == [4, 16, None]


def test_a_window_counts_where_all_layers_have_it() -> None:
    def window(kind: str, **fields: Any) -> int | None:
        shape = shape_of({"model_type": kind, **SMALL, **fields})
        found: int | None = shape["sliding_window"]
        return found

    assert window("mistral") == 4096
    assert window("mistral", sliding_window=64) == 64
    assert window("llama", sliding_window=64) is None
    assert window("qwen2", sliding_window=64) is None
    used = {"sliding_window": 64, "use_sliding_window": True}
    assert window("qwen2", **used, max_window_layers=2) is None
    assert window("qwen2", **used, max_window_layers=0) == 64
    mixed = ["full_attention", "sliding_attention", "sliding_attention"]
    assert window("qwen3", **used, layer_types=mixed) is None
    assert window("qwen3", **used, layer_types=mixed[1:]) == 64
    config = {"model_type": "qwen3", **SMALL, **used, "layer_types": mixed}
    assert shape_of(config)["partial_window"] == 64


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_theta": 1, "rope_parameters": {"rope_theta": 2}}, "rope_parameters"),
        ({"num_experts": 4, "num_local_experts": 8}, "is not what num_experts says"),
        ({"mlp_only_layers": [[]]}, "mlp_only_layers is a list: not a list of layers"),
        ({"mlp_only_layers": "a"}, 'mlp_only_layers is "a": not a list of layers'),
        ({"num_experts": 4, "num_experts_per_tok": 8}, "more than there are experts"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000: not a size"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantized already"),
        ({"quantization_config": 4}, "the weights are quantized already;"),
        ({"compression_config": {"format": "pack-quantized"}}, '"pack-quantized"'),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_an_error(
    fields: dict[str, Any], message: str
) -> None:
    config = {"model_type": "qwen3_moe", **SMALL, "num_key_value_heads": 2, **fields}
    with pytest.raises(LeangenError) as caught:
        shape_of(config)
    assert message in str(caught.value)


def test_given_weights_stay_at_16_bits_unless_asked(tmp_path: Path) -> None:
    for section, bits in {"": 16, "{kv_cache: 8}": 16, "{weights: 4}": 4}.items():
        page = f"{PAGE}quantization: {section}\n" if section else PAGE
        engine = "serve: {engine: llama.cpp}\n"
        spec = opened(tmp_path, small(), page + engine)
        assert isinstance(spec, Spec)
        assert spec.quantization.weights == bits
    preset = PAGE.replace("checkpoint: model", "preset: stories15M")
    published = opened(tmp_path, "", preset)
    assert isinstance(published, Spec) and published.quantization.weights == 16
    trained = opened(tmp_path, "", f"{preset}train: {{tokens: 1M}}\n")
    assert isinstance(trained, Spec) and trained.quantization.weights == 8


def test_many_dense_layers_are_counted_at_once(tmp_path: Path) -> None:
    layers = list(range(120_000))
    dense = small("qwen3_moe", num_hidden_layers=1000, mlp_only_layers=layers)
    spec = opened(tmp_path, dense)
    assert isinstance(spec, Spec) and spec.model.num_sparse_layers == 0
    odd = small("qwen3_moe", num_hidden_layers=9, mlp_only_layers=[0, 3, 3, -1, 99])
    spec = opened(tmp_path, odd)
    assert isinstance(spec, Spec) and spec.model.num_sparse_layers == 7


@pytest.mark.parametrize("depth", [70, 500, 900, 977, 1_500, 100_000])
@pytest.mark.parametrize("field", ["anything", "mlp_only_layers", "vocab_size"])
@pytest.mark.parametrize("ends", [("[", "]"), ('{"a":', "}")], ids=["list", "object"])
def test_a_deep_config_is_an_error_line(
    depth: int, field: str, ends: tuple[str, str], tmp_path: Path
) -> None:
    nested = f"{ends[0] * depth}1{ends[1] * depth}"
    config = f"{small('qwen3_moe')[:-1]}, {json.dumps(field)}: {nested}}}"
    found = opened(tmp_path, config)
    assert "is more than 64 levels deep" in str(found)


def test_a_large_config_is_refused(tmp_path: Path) -> None:
    assert "is over 1 MiB" in str(opened(tmp_path, " " * (1 << 20) + small()))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(max_size=9), inside),
    max_leaves=5,
)
NAMES = [*SMALL, *vars(FAMILIES["llama"]), "rope_parameters", "mlp_only_layers"]
NAMES += ["num_experts", "num_local_experts", "num_experts_per_tok", "layer_types"]
NAMES += ["decoder_sparse_step", "use_sliding_window", "tie_word_embeddings"]
NAMES += ["model_type", "quantization_config", "moe_intermediate_size"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODEL_TYPES), st.dictionaries(st.sampled_from(NAMES), ODD))
def test_any_value_of_any_name_is_a_shape_or_an_error(
    kind: str, odd: dict[str, Any]
) -> None:
    config = json.loads(json.dumps({"model_type": kind, **SMALL, **odd}))
    try:
        shape = shape_of(config)
    except LeangenError as error:
        assert "config.json: " in str(error)
    else:
        assert shape["num_sparse_layers"] <= 1_000 if "num_experts" in shape else True
