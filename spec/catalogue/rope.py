"""Rotary positions of a config.json: the base, and how it is stretched to a longer context."""

from dataclasses import dataclass
from typing import Any

from leangen.spec.catalogue.entries import number, shown, size, wrong
from leangen.spec.catalogue.models import Config, Family

PLAIN = (None, "default")


@dataclass(frozen=True)
class RopeScaling:
    """How rotations are slowed down; only llama3, with its four numbers, can be built."""

    rope_type: str
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_max_position_embeddings: int = 0


def rope_of(config: Config, family: Family) -> dict[str, Any]:
    """Read base and stretching from where transformers 4 or 5 writes them."""
    return {
        "rope_theta": _theta(config, family),
        "rope_scaling": _scaling(config),
    }


def _theta(config: Config, family: Family) -> float:
    places = (_object(config, "rope_parameters"), config)
    given = [place for place in places if place.get("rope_theta") is not None]
    found = {number(place, "rope_theta", family.rope_theta) for place in given}
    if len(found) > 1:
        raise wrong("rope_theta is not what rope_parameters says")
    return next(iter(found), family.rope_theta)


def _scaling(config: Config) -> RopeScaling | None:
    places = (_object(config, "rope_parameters"), _object(config, "rope_scaling"))
    found = {_scaling_of(place) for place in places if place} - {None}
    if len(found) > 1:
        raise wrong("rope_scaling is not what rope_parameters says")
    return next(iter(found), None)


def _scaling_of(place: Config) -> RopeScaling | None:
    kind = place.get("rope_type", place.get("type"))
    if kind in PLAIN:
        return None
    if kind != "llama3":
        return RopeScaling(shown(kind))
    low, high = (number(place, f"{name}_freq_factor", 0) for name in ("low", "high"))
    if low >= high:
        raise wrong("low_freq_factor is not below high_freq_factor")
    return RopeScaling(
        rope_type="llama3",
        factor=number(place, "factor", 0),
        low_freq_factor=low,
        high_freq_factor=high,
        original_max_position_embeddings=size(
            place, "original_max_position_embeddings"
        ),
    )


def _object(config: Config, name: str) -> Config:
    found = config.get(name)
    return found if isinstance(found, dict) else {}
