"""The engines that a spec may name, and what each can make use of, from engines.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from leangen.spec.catalogue.rows import read_rows


@dataclass(frozen=True)
class Engine:
    """One engine on one device; engines.yaml says what each field means.

    `runtime_bytes` is in bytes, all other sizes are in bits; `step` is in tokens.
    """

    id: str
    engine: str
    device: str
    weights: tuple[int, ...]
    kv_cache: tuple[int, ...]
    patterns: Mapping[str, tuple[int, ...]]
    scale_bits: int
    zeros: bool
    embedding: Mapping[int, float]
    head: Mapping[int, float]
    head_scales: bool
    norm_bits: int
    unties: bool
    widens: bool
    repacks: bool
    slides: bool
    group_size: int | None  # None: the spec's
    cache_scale_bits: int  # for each 32 values of a cache of integers
    channel_scale_bits: int  # for each channel of one
    token_scale_bits: int  # for each head of a token's keys, and of its values, of one
    step: int
    runtime_bytes: int
    source: str


@cache
def engines() -> Mapping[str, Engine]:
    """Read every row of engines.yaml, by id, in the order of the file."""
    rows = read_rows("engines.yaml")
    return MappingProxyType({id: _engine(id, row) for id, row in rows.items()})


def engine_names() -> list[str]:
    """List the names that serve.engine takes."""
    return list(dict.fromkeys(row.engine for row in engines().values()))


def _engine(id: str, row: Mapping[str, Any]) -> Engine:
    return Engine(
        id=id,
        engine=row["engine"],
        device=row["device"],
        weights=tuple(row["weights"]),
        kv_cache=tuple(row["kv_cache"]),
        patterns={name: tuple(bits) for name, bits in row["patterns"].items()},
        scale_bits=row["scales"],
        zeros=row.get("zeros", False),
        embedding=row["embedding"],
        head=row["head"],
        head_scales=row.get("head_scales", False),
        norm_bits=row["norms"],
        unties=row.get("unties", False),
        widens=row.get("widens", False),
        repacks=row.get("repacks", False),
        slides=row.get("slides", False),
        group_size=row.get("group_size"),
        cache_scale_bits=row.get("cache_scales", 0),
        channel_scale_bits=row.get("channel_scales", 0),
        token_scale_bits=row.get("token_scales", 0),
        step=row["step"],
        runtime_bytes=row["runtime"] * 2**20,
        source=row["source"],
    )
