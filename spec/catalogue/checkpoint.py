"""A checkpoint's config.json: read, checked, and turned into the fields of a Model."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leangen.spec.catalogue.models import FAMILIES, MODEL_TYPES, Config, Family
from leangen.spec.errors import LeangenError
from leangen.spec.text.source import MAX_BYTES

MAX_DEPTH = 64  # levels of a config.json; those that are published have six
LARGEST = 2**27  # of any size in a config.json
MOST = {"num_hidden_layers": 1_000, "num_attention_heads": 65_536}  # likewise
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
QUANTIZED = ("quantization_config", "compression_config")
METHOD = ("quant_method", "format", "bits", "group_size")  # what an error repeats of it


def read_config(folder: Path) -> Config:
    """Read the config.json of a Hugging Face folder; raises LeangenError."""
    file = folder / "config.json"
    try:
        if file.exists() and not file.is_file():
            raise LeangenError.of(f"{file} is not a regular file", code="unreadable")
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise LeangenError.of(
            f"{file} cannot be read: {getattr(error, 'strerror', error)}",
            remedy="name the folder of a Hugging Face model, relative to the spec",
            code="unreadable",
        ) from None
    if len(content) > MAX_BYTES:
        raise LeangenError.of(f"{file} is over 1 MiB", code="config")
    return _parsed(content, file)


def _parsed(content: bytes, file: Path) -> Config:
    """Read a JSON object that is no deeper than a config.json may be."""
    try:
        config = json.loads(content)
    except ValueError:
        raise LeangenError.of(f"{file} is not JSON", code="config") from None
    except RecursionError:
        raise _too_deep(file) from None
    if not isinstance(config, dict):
        raise LeangenError.of(f"{file} holds no JSON object", code="config")
    level: list[Any] = [config]
    for _ in range(MAX_DEPTH):
        level = [value for node in level for value in _inside(node)]
    if level:
        raise _too_deep(file)
    return config


def _inside(value: Any) -> Iterable[Any]:
    """Give the values in an object or a list."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(file: Path) -> LeangenError:
    message = f"{file} is more than {MAX_DEPTH} levels deep"
    return LeangenError.of(message, code="config")


def shape_of(config: Config) -> dict[str, Any]:
    """Give a config.json's fields of a Model, with its model_type's defaults.

    Raises LeangenError for another model_type, for weights that are quantized already,
    and for sizes that are missing or odd.
    """
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        found = "is missing and" if kind is None else _shown(kind)
        remedy = f"known are {', '.join(MODEL_TYPES)}"
        raise _wrong(f"model_type {found} cannot be planned", remedy, "model-type")
    _refuse_quantized(config)
    family = FAMILIES[kind]
    shape: dict[str, Any] = {name: _size(config, name) for name in SHAPE}
    biased = kind in ("llama", "qwen3", "qwen3_moe")
    bias = _flag(config, "attention_bias") and biased
    return shape | {
        "architecture": kind,
        **_heads(config, kind),
        "rope_theta": _rope_theta(config, family),
        "rms_norm_eps": _number(config, "rms_norm_eps", family.rms_norm_eps),
        "tie_word_embeddings": _flag(config, "tie_word_embeddings"),
        "qkv_bias": kind == "qwen2" or bias,
        "output_bias": bias,
        "mlp_bias": _flag(config, "mlp_bias") and kind == "llama",
        "qk_norm": kind in ("qwen3", "qwen3_moe"),
        "sliding_window": _window(config, kind),
        **_experts(config, kind),
    }


def _refuse_quantized(config: Config) -> None:
    """Refuse weights whose bytes would be counted as if they were floats."""
    for name in QUANTIZED:
        found = config.get(name)
        if found is None:
            continue
        parts = found if isinstance(found, dict) else {}
        named = [f"{key} {_shown(parts[key])}" for key in METHOD if key in parts]
        what = f" ({', '.join(named)})" if named else ""
        message = f"{name}: the weights are quantized already{what}"
        remedy = "such a checkpoint cannot be planned yet: name the unquantized one"
        raise _wrong(message, remedy, "quantized-checkpoint")


def _heads(config: Config, kind: str) -> dict[str, int]:
    """Give the heads that share keys and values, and the width of all."""
    heads, family = _size(config, "num_attention_heads"), FAMILIES[kind]
    width = max(_size(config, "hidden_size") // heads, 1)
    absent = {"num_key_value_heads": family.num_key_value_heads or heads}
    absent["head_dim"] = family.head_dim or width
    # A null is not an absent name: transformers derives what has it from the others.
    null = {"num_key_value_heads": heads, "head_dim": width}
    return {
        name: _size(config, name, null[name] if name in config else absent[name])
        for name in absent
    }


def _experts(config: Config, kind: str) -> dict[str, int]:
    """Give the sizes of a mixture of experts; none where all layers are dense."""
    if kind == "mixtral":
        number, active, sparse = 8, 2, _size(config, "num_hidden_layers")
        width = _size(config, "intermediate_size")
    elif kind == "qwen3_moe":
        number, active, sparse = 128, 8, _sparse_layers(config)
        width = _size(config, "moe_intermediate_size", 768)
    else:
        return {}
    number = _size(config, _spelling(config, EXPERTS), number)
    active = _size(config, "num_experts_per_tok", active)
    if active > number:
        raise _wrong("num_experts_per_tok is more than there are experts")
    return {
        "num_experts": number,
        "num_experts_per_tok": active,
        "moe_intermediate_size": width,
        "num_sparse_layers": sparse,
    }


def _sparse_layers(config: Config) -> int:
    """Count the layers of a Qwen that have experts."""
    dense = config.get("mlp_only_layers") or []
    if type(dense) is not list or {*map(type, dense)} - {int}:
        message = f"mlp_only_layers is {_shown(dense)}: not a list of layers"
        raise _wrong(message)
    plain, step = set(dense), _size(config, "decoder_sparse_step", 1)
    every = range(step, _size(config, "num_hidden_layers") + 1, step)
    return sum(number - 1 not in plain for number in every)


def _window(config: Config, kind: str) -> int | None:
    """Tokens of a sliding attention window that all layers have, None without one.

    Where only the last layers of a Qwen have it, the others need memory for all of the
    context: none counts as having it then.
    """
    absent = FAMILIES[kind].sliding_window
    if kind == "llama" or config.get("sliding_window", absent) is None:
        return None
    if kind.startswith("qwen") and not _slides_everywhere(config, kind):
        return None
    return _size(config, "sliding_window", absent)


def _slides_everywhere(config: Config, kind: str) -> bool:
    """Tell whether all layers of a Qwen have the window: it is a choice there."""
    if not _flag(config, "use_sliding_window"):
        return False
    layers = config.get("layer_types")
    if isinstance(layers, list):
        return all(layer == "sliding_attention" for layer in layers)
    return kind == "qwen3_moe" or config.get("max_window_layers") == 0


def _rope_theta(config: Config, family: Family) -> float:
    """Read the rotary base from where transformers 4 or 5 writes it."""
    nested = config.get("rope_parameters")
    places = (nested if isinstance(nested, dict) else {}, config)
    given = [place for place in places if place.get("rope_theta") is not None]
    found = {_number(place, "rope_theta", family.rope_theta) for place in given}
    if len(found) > 1:
        raise _wrong("rope_theta is not what rope_parameters says")
    return next(iter(found), family.rope_theta)


def _spelling(config: Config, names: tuple[str, ...]) -> str:
    """Choose the spelling that is there; raises LeangenError where two differ."""
    given = [name for name in names if config.get(name) is not None]
    for other in given[1:]:
        if config[other] != config[given[0]]:
            raise _wrong(f"{given[0]} is not what {other} says")
    return next(iter(given), names[0])


def _size(config: Config, name: str, absent: int | None = None) -> int:
    """Read a size; without `absent`, the value of a name that is not there, it must be."""
    value = config.get(name)
    if value is None and absent is not None:
        return absent
    if type(value) is not int or not 0 < value <= MOST.get(name, LARGEST):
        found = "is missing" if value is None else f"is {_shown(value)}: not a size"
        raise _wrong(f"{name} {found}")
    return value


def _flag(config: Config, name: str) -> bool:
    value = config.get(name)
    if value is not None and type(value) is not bool:
        raise _wrong(f"{name} is {_shown(value)}: neither true nor false")
    return value is True


def _number(config: Config, name: str, absent: float) -> float:
    value = config.get(name, absent)
    if type(value) not in (int, float) or not 0 < value < 1e15:
        raise _wrong(f"{name} is {_shown(value)}: not a number above 0")
    return float(value)


def _shown(value: Any) -> str:
    """Write a value for a message; what has values inside is only named."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:40]


def _wrong(message: str, remedy: str = "", code: str = "config") -> LeangenError:
    return LeangenError.of(f"config.json: {message}", remedy=remedy, code=code)
