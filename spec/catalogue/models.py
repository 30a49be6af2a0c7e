"""Models by config.json: those of the catalogue, and the ones in a checkpoint's folder."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from leangen.spec.catalogue.rows import read_rows
from leangen.spec.errors import LeangenError
from leangen.spec.text.source import MAX_BYTES

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "mixtral", "qwen3_moe")
SHAPE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
LARGEST = 2**27  # of any size in a config.json
MOST = {"num_hidden_layers": 10_000, "num_attention_heads": 65_536}  # likewise

Config = Mapping[str, Any]


@cache
def presets() -> Mapping[str, Config]:
    """Read every row of models.yaml, by name, in the order of the file."""
    return MappingProxyType(dict(read_rows("models.yaml")))


def read_config(folder: Path) -> Config:
    """Read the config.json of a Hugging Face folder; raises LeangenError."""
    file = folder / "config.json"
    try:
        if file.exists() and not file.is_file():
            raise LeangenError.of(f"{file} is not a regular file", code="unreadable")
        with file.open("rb") as opened:
            config = json.loads(opened.read(MAX_BYTES))
    except OSError as error:
        raise LeangenError.of(
            f"{file} cannot be read: {error.strerror}",
            remedy="name the folder of a Hugging Face model, relative to the spec",
            code="unreadable",
        ) from None
    except (ValueError, RecursionError):
        raise LeangenError.of(f"{file} is not JSON", code="config") from None
    if not isinstance(config, dict):
        raise LeangenError.of(f"{file} holds no JSON object", code="config")
    return config


def shape_of(config: Config) -> dict[str, Any]:
    """Give a config.json's fields of a Model, with its model_type's defaults.

    Raises LeangenError for another model_type, and for sizes that are missing or odd.
    """
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        found = "is missing and" if kind is None else _shown(kind)
        raise LeangenError.of(
            f"config.json: model_type {found} cannot be planned",
            remedy=f"known are {', '.join(MODEL_TYPES)}",
            code="model-type",
        )
    shape: dict[str, Any] = {name: _size(config, name) for name in SHAPE}
    heads, hidden = shape["num_attention_heads"], shape["hidden_size"]
    width = 128 if kind == "qwen3" else hidden // heads
    biased = kind in ("llama", "qwen3", "qwen3_moe")
    bias = _flag(config, "attention_bias") and biased
    shape |= {
        "architecture": kind,
        "num_key_value_heads": _size(config, "num_key_value_heads", heads),
        "head_dim": _size(config, "head_dim", max(width, 1)),
        "rope_theta": _rope_theta(config),
        "rms_norm_eps": float(_number(config, "rms_norm_eps", 1e-6)),
        "tie_word_embeddings": _flag(config, "tie_word_embeddings"),
        "qkv_bias": kind == "qwen2" or bias,
        "output_bias": bias,
        "mlp_bias": _flag(config, "mlp_bias") and kind == "llama",
        "qk_norm": kind in ("qwen3", "qwen3_moe"),
        "sliding_window": _window(config),
    }
    experts = _experts(config, kind)
    if experts and experts["num_experts_per_tok"] > experts["num_experts"]:
        message = "config.json: num_experts_per_tok is more than there are experts"
        raise LeangenError.of(message, code="config")
    return shape | experts


def _experts(config: Config, kind: str) -> dict[str, int]:
    """Give the sizes of a mixture of experts; none where all layers are dense."""
    layers = _size(config, "num_hidden_layers")
    if kind == "mixtral":
        return {
            "num_experts": _size(config, "num_local_experts", 8),
            "num_experts_per_tok": _size(config, "num_experts_per_tok", 2),
            "moe_intermediate_size": _size(config, "intermediate_size"),
            "num_sparse_layers": layers,
        }
    if kind == "qwen3_moe":
        dense = config.get("mlp_only_layers") or []
        if type(dense) is not list:
            message = f"config.json: mlp_only_layers is {_shown(dense)}: not a list"
            raise LeangenError.of(message, code="config")
        step = _size(config, "decoder_sparse_step", 1)
        mixed = [i for i in range(layers) if i not in dense and (i + 1) % step == 0]
        return {
            "num_experts": _size(config, "num_experts", 128),
            "num_experts_per_tok": _size(config, "num_experts_per_tok", 8),
            "moe_intermediate_size": _size(config, "moe_intermediate_size", 768),
            "num_sparse_layers": len(mixed),
        }
    return {}


def _window(config: Config) -> int | None:
    """Tokens of a sliding attention window, None without one or where it is off."""
    asked = not str(config.get("model_type")).startswith("qwen")  # where it is a choice
    used = _flag(config, "use_sliding_window", default=asked)
    if not used or config.get("sliding_window") is None:
        return None
    return _size(config, "sliding_window")


def _rope_theta(config: Config) -> float:
    """Read the rotary base from where transformers 4 or 5 writes it."""
    nested = config.get("rope_parameters")
    place = nested if isinstance(nested, dict) else config
    return float(_number(place, "rope_theta", 10000.0))


def _size(config: Config, name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if type(value) is not int or not 0 < value <= MOST.get(name, LARGEST):
        found = "is missing" if value is None else f"is {_shown(value)}: not a size"
        raise LeangenError.of(f"config.json: {name} {found}", code="config")
    return value


def _flag(config: Config, name: str, default: bool = False) -> bool:
    value = config.get(name)
    if value is not None and type(value) is not bool:
        message = f"config.json: {name} is {_shown(value)}: neither true nor false"
        raise LeangenError.of(message, code="config")
    return default if value is None else value


def _shown(value: Any) -> str:
    return json.dumps(value)[:40]


def _number(config: Config, name: str, default: float) -> float:
    value = config.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e15:
        message = f"config.json: {name} is {_shown(value)}: not a number above 0"
        raise LeangenError.of(message, code="config")
    return float(value)
