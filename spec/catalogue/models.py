"""The models that can be planned: their families, and the published ones of models.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from leangen.spec.catalogue.rows import read_rows

Config = Mapping[str, Any]  # what a config.json holds


@dataclass(frozen=True)
class Family:
    """What a model_type is where its config.json is silent, as in transformers 5.24.

    None: as many keys and values as queries; hidden_size / num_attention_heads; no window.
    """

    num_key_value_heads: int | None = None
    head_dim: int | None = None
    sliding_window: int | None = None
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6


FAMILIES = {
    "llama": Family(),
    "mistral": Family(num_key_value_heads=8, sliding_window=4096),
    "qwen2": Family(num_key_value_heads=32, sliding_window=4096),
    "qwen3": Family(num_key_value_heads=32, head_dim=128, sliding_window=4096),
    "mixtral": Family(num_key_value_heads=8, rope_theta=1e6, rms_norm_eps=1e-5),
    "qwen3_moe": Family(num_key_value_heads=4, sliding_window=4096),
}
MODEL_TYPES = tuple(FAMILIES)


@cache
def presets() -> Mapping[str, Config]:
    """Read every row of models.yaml, by name, in the order of the file."""
    return MappingProxyType(dict(read_rows("models.yaml")))
