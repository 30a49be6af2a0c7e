"""A sweep as its page reads it: variants, their repeats together, every figure a spread."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from leangen.spec.errors import printable

DENSE, NM, UNSTRUCTURED, STRUCTURED = "dense", "N:M", "unstructured", "structured"
FAMILIES = (DENSE, NM, UNSTRUCTURED, STRUCTURED)
LARGEST = 1e18  # of a figure: nothing larger was measured
TEXTS = ("train", "val", "test", "out_of_sample")
BESIDE = (
    "kl_divergence",
    "kl_divergence_99",
    "loss_difference",
    "loss_difference_error",
)
SURE = 1.96  # standard errors of a 95 percent interval


@dataclass(frozen=True)
class Spread:
    """What one run measured, or several: their mean, and the range that they cover."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Row:
    """A variant, or its repeats together. figures: by the names of the CSV's columns."""

    name: str
    slug: str
    pattern: str
    ratio: float
    method: str
    recovered: bool
    bits: int | None
    baseline: bool
    state: str  # done, failed, refused or waiting
    why: str
    runs: int
    figures: Mapping[str, Spread]

    @property
    def family(self) -> str:
        """Name the kind of pattern, by which marks have their colour and shape."""
        return NM if ":" in self.pattern else self.pattern

    def value(self, figure: str) -> float | None:
        """Give the mean of a figure, if it is known."""
        found = self.figures.get(figure)
        return found.mean if found else None


@dataclass(frozen=True)
class Sweep:
    """All rows, the dense baseline first, and what they were measured with.

    paired: whether all variants were compared with the same dense model. gate: what a
    perplexity may be at most, of the baseline's.
    """

    name: str
    rows: tuple[Row, ...]
    budget_bytes: float | None
    about: Mapping[str, str]
    paired: bool
    gate: float | None = None

    @property
    def baseline(self) -> Row | None:
        """Give the dense model that the others are set beside."""
        return next((row for row in self.done if row.baseline), None)

    @property
    def done(self) -> list[Row]:
        """List the rows that were measured."""
        return [row for row in self.rows if row.state == "done"]

    def dense(self, bits: int | None) -> Row | None:
        """Find the dense model of so many bits."""
        dense = (row for row in self.done if row.family == DENSE)
        return next((row for row in dense if row.bits == bits), None)


def read(document: Mapping[str, Any]) -> Sweep:
    """Read a sweep.json; what is no finite number is no figure."""
    variants = document["variants"]
    fields = document.get("axes", {})
    same = all(
        field.partition(".")[0] in ("sparsity", "quantization") for field in fields
    )
    rows = [_row(group) for group in _repeats(variants)]
    if same and not any(row.baseline and row.state == "done" for row in rows):
        rows += _checkpoint(document.get("dense", {}))
    return Sweep(
        text(document["name"]),
        tuple(sorted(rows, key=lambda row: not row.baseline)),
        number(document.get("budget_bytes")),
        _about(document),
        same,
        _positive(document.get("gates", {}).get("perplexity_ratio")),
    )


def _checkpoint(measured: Mapping[str, Any]) -> list[Row]:
    """Take the dense checkpoint for a baseline: its perplexities, as nobody exports it."""
    kept = {k: v for k, v in measured.items() if k in ("perplexity", "beside_dense")}
    if not kept:
        return []
    named = {"name": "dense, not rounded", "baseline": True, "state": "done"}
    return [_row([named | {"measured": kept}])]


def text(value: object) -> str:
    """Take somebody's text: one line, and nothing in it that moves a cursor."""
    return printable(str(value))


def number(value: object) -> float | None:
    """Take a figure; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return (
        float(value) if abs(value) < LARGEST else None
    )  # not so for what is no number


def _repeats(variants: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Put variants together that differ in their seeds alone, and ended alike."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for variant in variants:
        parts = [variant.get("changes", {}), variant["state"]]
        groups.setdefault(json.dumps(parts, sort_keys=True), []).append(variant)
    return list(groups.values())


def _row(group: Sequence[Mapping[str, Any]]) -> Row:
    first = group[0]
    known = first.get("is", {})
    each = [dict(_figures(variant)) for variant in group]
    names = dict.fromkeys(name for figures in each for name in figures)
    bits = number(known.get("bits"))
    return Row(
        text(first["name"]),
        text(first.get("slug", "")),
        _pattern(known),
        number(known.get("ratio")) or 0.0,
        text(known.get("method", "")),
        known.get("recovered") is True,
        None if bits is None else int(bits),
        any(variant.get("baseline") is True for variant in group),
        text(first["state"]),
        text(first.get("why", "")),
        len(group),
        {name: _together([f[name] for f in each if name in f]) for name in names},
    )


def _pattern(known: Mapping[str, Any]) -> str:
    named = text(known.get("pattern", DENSE))
    return named if named in FAMILIES or ":" in named else DENSE


def _together(spreads: Sequence[Spread]) -> Spread:
    return Spread(
        min(spread.low for spread in spreads),
        fmean(spread.mean for spread in spreads),
        max(spread.high for spread in spreads),
    )


def _figures(variant: Mapping[str, Any]) -> Iterator[tuple[str, Spread]]:
    """List the figures of a variant that are known."""
    planned, measured = variant.get("planned", {}), variant.get("measured", {})
    for name, value in _single(variant, planned, measured):
        found = number(value)
        if found is not None:
            yield name, Spread(found, found, found)
    yield from _speeds(measured.get("speeds", {}))
    yield from _same_top(measured.get("beside_dense", {}).get("test", {}))


def _single(
    variant: Mapping[str, Any], planned: Mapping[str, Any], measured: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    for key in ("file_bytes", "memory_bytes"):
        yield f"planned_{key}", _positive(planned.get(key))
        yield key, _positive(measured.get(key))
    for key in TEXTS:
        yield f"perplexity_{key}", _positive(measured.get("perplexity", {}).get(key))
        beside = measured.get("beside_dense", {}).get(key, {})
        for name in BESIDE:
            yield f"{name}_{key}", beside.get(name)
    yield "windowed_perplexity", _positive(measured.get("windowed_perplexity"))
    yield "prefill", _positive(measured.get("prefill_tokens_per_second"))
    yield "decode", _positive(measured.get("decode_tokens_per_second"))
    yield "first_token_seconds", measured.get("first_token_seconds")
    yield "seconds", variant.get("seconds")


def _positive(value: object) -> float | None:
    found = number(value)
    return found if found and found > 0 else None


def _speeds(contexts: Mapping[str, Any]) -> Iterator[tuple[str, Spread]]:
    """List the speeds behind each context; those behind the longest are the variant's."""
    for context in sorted((c for c in contexts if c.isdecimal()), key=int):
        for name in ("prefill", "decode"):
            found = list(map(number, contexts[context].get(name, ())))
            known = [value for value in found if value is not None]
            if len(found) == len(known) == 3:
                speed = Spread(min(known), known[1], max(known))
                yield f"{name}_{context}", speed
                yield name, speed


def _same_top(found: Mapping[str, Any]) -> Iterator[tuple[str, Spread]]:
    same = number(found.get("same_top"))
    if same is not None:
        ends = map(number, found.get("same_top_interval", ()))
        known = [same, *(end for end in ends if end is not None)]
        yield "same_top", Spread(min(known), same, max(known))


def _about(document: Mapping[str, Any]) -> dict[str, str]:
    """Say what the figures were measured with, in the order in which it is shown."""
    about = {}
    for key in ("hardware", "instrument", "context"):
        if key in document:
            about[key] = text(document[key])
    for key in ("tokens", "machine"):
        if document.get(key):
            about[key] = ", ".join(
                f"{text(k)} {text(v)}" for k, v in document[key].items()
            )
    return about
