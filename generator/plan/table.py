"""All that fits: patterns x bits x KV bits x the longest context."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from leangen.generator.plan.ladders import shorter
from leangen.generator.plan.parameters import Counts, count
from leangen.generator.plan.rates import Seconds
from leangen.generator.plan.serve import plan_serve, skips_zeros
from leangen.generator.plan.suggest import first
from leangen.spec import Spec, vary

# What each pattern leaves out of the section sparsity, as None, or needs there.
PATTERNS: Mapping[str, dict[str, Any]] = {
    "dense": {"method": None, "exempt": None, "recover": None},
    "2:4": {},
    "unstructured": {"ratio": 0.5},
}
SHARES: dict[str, Any] = {"ratio": None, "heads": None, "layers": None}
INTEGERS_ALONE = (
    "group_size",
    "method",
    "calibration_sequences",
    "arithmetic",
)  # of the section quantization


@dataclass(frozen=True)
class Row:
    """A choice of pattern and bits: the longest context that fits, 0 where none does."""

    patterns: tuple[str, ...]
    weights: int
    kv_cache: int
    peak_bytes: int
    context: int
    seconds: Seconds | None


def table(spec: Spec) -> list[Row]:
    """Tabulate patterns x bits x KV bits x the longest context that fits the target.

    Patterns that an engine stores alike share a row; what a rule forbids has none.
    `peak_bytes` is at the context of the spec, `seconds` a token's there.
    """
    return [
        row
        for weights in spec.engine.weights
        for kv_cache in spec.engine.kv_cache
        for row in _rows(_variants(spec, weights, kv_cache))
    ]


def _variants(spec: Spec, weights: int, kv_cache: int) -> dict[str, Spec]:
    """Vary the bits and the pattern, as far as the rules allow it."""
    bits: dict[str, Any] = {
        "quantization.weights": weights,
        "quantization.kv_cache": kv_cache,
    }
    if weights != spec.quantization.weights:
        bits["quantization.exceptions"] = None
    if weights >= 16:
        bits |= {f"quantization.{name}": None for name in INTEGERS_ALONE}
    varied = {}
    if spec.sparsity.shrinks:
        varied["structured"] = vary(spec, bits)
    for pattern, beside in PATTERNS.items():
        fields = {**SHARES, **beside}
        sparsity = {f"sparsity.{name}": value for name, value in fields.items()}
        varied[pattern] = vary(spec, bits | sparsity | {"sparsity.pattern": pattern})
    return {pattern: variant for pattern, variant in varied.items() if variant}


def _rows(variants: Mapping[str, Spec]) -> Iterator[Row]:
    """Make a row of the patterns that are stored as if dense, and one of others each."""
    stored: dict[tuple[bool, bool], list[str]] = {}
    for pattern, variant in variants.items():
        alike = (variant.sparsity.shrinks, skips_zeros(variant))
        stored.setdefault(alike, []).append(pattern)
    for _, patterns in sorted(stored.items()):
        yield _row(variants[patterns[0]], tuple(patterns))


def _row(spec: Spec, patterns: tuple[str, ...]) -> Row:
    left = replace(spec, model=spec.pruned)
    counts = count(left.model)
    stage = plan_serve(left, counts)
    return Row(
        patterns=patterns,
        weights=spec.quantization.weights,
        kv_cache=spec.quantization.kv_cache,
        peak_bytes=stage.peak_bytes,
        context=_longest(left, counts),
        seconds=stage.seconds,
    )


def _longest(spec: Spec, counts: Counts) -> int:
    """Find the longest context that fits, 0 if none does."""
    most = spec.model.max_position_embeddings
    steps = [most, *shorter(most), 0]

    def fits(place: int) -> bool:
        target = replace(spec.target, context=steps[place])
        return plan_serve(replace(spec, target=target), counts).fits

    return steps[first(len(steps) - 1, fits)]
