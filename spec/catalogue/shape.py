"""What a config.json says of a model: checked, and turned into the fields of a Model."""

from typing import Any

from leangen.spec.catalogue.entries import flag, number, shown, size, spelling, wrong
from leangen.spec.catalogue.models import FAMILIES, MODEL_TYPES, Config
from leangen.spec.catalogue.rope import rope_of

SHAPE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
# Either spelling is read: transformers 4 and 5 write different ones.
EXPERTS = ("num_local_experts", "num_experts")
DTYPE = ("dtype", "torch_dtype")
UNWINDOWED = 28  # layers before those with a window, where a Qwen does not say
QUANTIZED = ("quantization_config", "compression_config")
METHOD = ("quant_method", "format", "bits", "group_size")  # what an error repeats of it


def shape_of(config: Config) -> dict[str, Any]:
    """Give a config.json's fields of a Model, with its model_type's defaults.

    Raises LeangenError for another model_type, for weights that are quantized already,
    and for sizes that are missing or odd.
    """
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        found = "is missing and" if kind is None else shown(kind)
        remedy = f"known are {', '.join(MODEL_TYPES)}"
        raise wrong(f"model_type {found} cannot be planned", remedy, "model-type")
    _refuse_quantized(config)
    if config.get("hidden_act", "silu") != "silu":
        message = f"hidden_act {shown(config['hidden_act'])} cannot be planned"
        raise wrong(message, "silu alone is known, in SwiGLU", "activation")
    family = FAMILIES[kind]
    shape: dict[str, Any] = {name: size(config, name) for name in SHAPE}
    biased = kind in ("llama", "qwen3", "qwen3_moe")
    bias = flag(config, "attention_bias") and biased
    return shape | {
        "architecture": kind,
        **_heads(config, kind),
        **rope_of(config, family),
        "rms_norm_eps": number(config, "rms_norm_eps", family.rms_norm_eps),
        "tie_word_embeddings": flag(config, "tie_word_embeddings"),
        "qkv_bias": kind == "qwen2" or bias,
        "output_bias": bias,
        "mlp_bias": flag(config, "mlp_bias") and kind == "llama",
        "norm_topk_prob": kind == "mixtral" or flag(config, "norm_topk_prob"),
        "dtype": str(config.get(spelling(config, DTYPE)) or "float32"),
        "qk_norm": kind in ("qwen3", "qwen3_moe"),
        "sliding_window": None,
        **_windows(config, kind),
        **_experts(config, kind),
    }


def _refuse_quantized(config: Config) -> None:
    """Refuse weights whose bytes would be counted as if they were floats."""
    for name in QUANTIZED:
        found = config.get(name)
        if found is None:
            continue
        parts = found if isinstance(found, dict) else {}
        named = [f"{key} {shown(parts[key])}" for key in METHOD if key in parts]
        what = f" ({', '.join(named)})" if named else ""
        message = f"{name}: the weights are quantized already{what}"
        remedy = "such a checkpoint cannot be planned yet: name the unquantized one"
        raise wrong(message, remedy, "quantized-checkpoint")


def _heads(config: Config, kind: str) -> dict[str, int]:
    """Give the heads that share keys and values, and the width of all."""
    heads, family = size(config, "num_attention_heads"), FAMILIES[kind]
    width = max(size(config, "hidden_size") // heads, 1)
    absent = {"num_key_value_heads": family.num_key_value_heads or heads}
    absent["head_dim"] = family.head_dim or width
    # A null is not an absent name: transformers derives what has it from the others.
    null = {"num_key_value_heads": heads, "head_dim": width}
    return {
        name: size(config, name, null[name] if name in config else absent[name])
        for name in absent
    }


def _experts(config: Config, kind: str) -> dict[str, int]:
    """Give the sizes of a mixture of experts; none where all layers are dense."""
    if kind == "mixtral":
        experts, active, sparse = 8, 2, size(config, "num_hidden_layers")
        width = size(config, "intermediate_size")
    elif kind == "qwen3_moe":
        experts, active, sparse = 128, 8, _sparse_layers(config)
        width = size(config, "moe_intermediate_size", 768)
    else:
        return {}
    experts = size(config, spelling(config, EXPERTS), experts)
    active = size(config, "num_experts_per_tok", active)
    if active > experts:
        raise wrong("num_experts_per_tok is more than there are experts")
    return {
        "num_experts": experts,
        "num_experts_per_tok": active,
        "moe_intermediate_size": width,
        "num_sparse_layers": sparse,
    }


def _sparse_layers(config: Config) -> int:
    """Count the layers of a Qwen that have experts."""
    dense = config.get("mlp_only_layers") or []
    if type(dense) is not list or {*map(type, dense)} - {int}:
        message = f"mlp_only_layers is {shown(dense)}: not a list of layers"
        raise wrong(message)
    plain, step = set(dense), size(config, "decoder_sparse_step", 1)
    every = range(step, size(config, "num_hidden_layers") + 1, step)
    return sum(layer - 1 not in plain for layer in every)


def _windows(config: Config, kind: str) -> dict[str, int | None]:
    """Tokens of a sliding attention window: one that all layers have, or some alone.

    In the latter case the others need memory for all of the context.
    """
    absent = FAMILIES[kind].sliding_window
    if kind == "llama" or config.get("sliding_window", absent) is None:
        return {}
    layers = size(config, "num_hidden_layers")
    sliding = _sliding_layers(config, kind) if kind.startswith("qwen") else layers
    if not sliding:
        return {}
    name = "sliding_window" if sliding == layers else "partial_window"
    return {name: size(config, "sliding_window", absent)}


def _sliding_layers(config: Config, kind: str) -> int:
    """Count the layers of a Qwen that have the window: it is a choice there."""
    if not flag(config, "use_sliding_window"):
        return 0
    types = config.get("layer_types")
    if isinstance(types, list):
        whole = len(types) - types.count("sliding_attention")
    elif kind == "qwen3_moe" or config.get("max_window_layers") == 0:
        whole = 0
    else:
        whole = size(config, "max_window_layers", UNWINDOWED)
    return max(size(config, "num_hidden_layers") - whole, 0)
