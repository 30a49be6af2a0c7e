"""What a single run left under artifacts/: its report, its ledger, its losses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leangen.generator.report.page.figures import number, text

TRAININGS = ("train", "recover")
Losses = tuple[tuple[float, float], ...]  # steps and losses


@dataclass(frozen=True)
class Stage:
    """What a stage took, in bytes and seconds."""

    name: str
    planned: float
    measured: float
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """A model on the way, and its figures; `beside` names what it says of the dense model."""

    name: str
    perplexity: Mapping[str, float]
    figures: Mapping[str, float]
    beside: Mapping[str, float]


@dataclass(frozen=True)
class Sample:
    """How two models go on from the same words."""

    prompt: str
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """Everything that the page of a run shows; what was not measured is empty."""

    name: str
    about: Mapping[str, str]
    checkpoints: tuple[Checkpoint, ...]
    stages: tuple[Stage, ...]
    losses: Mapping[str, Mapping[str, Losses]]  # by stage: of steps, of validations
    samples: tuple[Sample, ...]
    gate: Mapping[str, float]


def read_run(name: str, artifacts: Path) -> Run:
    """Read what there is; ValueError and its like where a file is damaged."""
    report, ledger = _json(artifacts / "report.json"), _json(artifacts / "ledger.json")
    models = report.get("models", {})
    return Run(
        name,
        dict(_about(report)),
        tuple(_checkpoint(key, models[key]) for key in models),
        tuple(_stages(ledger or report.get("stages", {}))),
        {
            s: _losses(artifacts / f"{s}.jsonl")
            for s in TRAININGS
            if (artifacts / f"{s}.jsonl").exists()
        },
        tuple(_samples(report.get("samples", {}))),
        dict(_numbers(report.get("gates", {}).get("perplexity_ratio", {}))),
    )


def _json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{file.name} is no object")
    return found


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        found = number(value)
        if found is not None:
            yield text(key), found


def _about(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("instrument", "context"):
        if key in report:
            yield key, text(report[key])
    for key in ("tokens", "machine"):
        if report.get(key):
            yield key, ", ".join(f"{text(k)} {text(v)}" for k, v in report[key].items())


def _checkpoint(name: str, figures: Mapping[str, Any]) -> Checkpoint:
    texts = {text: v for text, v in _numbers(figures.get("perplexity", {})) if v > 0}
    beside = dict(_numbers(figures.get("beside_dense", {}).get("test", {})))
    return Checkpoint(text(name), texts, dict(_numbers(figures)), beside)


def _stages(rows: Mapping[str, Any]) -> Iterator[Stage]:
    for name, row in rows.items():
        found = [
            number(row.get(k)) for k in ("planned_bytes", "measured_bytes", "seconds")
        ]
        known = [value for value in found if value is not None and value >= 0]
        if len(known) == 3:
            yield Stage(text(name), *known)


def _losses(file: Path) -> dict[str, Losses]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Losses] = {}
    for key in ("loss", "val"):
        pairs = [(number(row["step"]), number(row.get(key))) for row in rows]
        known = tuple((a, b) for a, b in pairs if a is not None and b is not None)
        if len(known) > 1:
            found[key] = known
    return found


def _samples(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Sample]:
    for each in zip(*samples.values(), strict=False):
        texts = {text(n): _lines(s["text"]) for n, s in zip(samples, each, strict=True)}
        yield Sample(_lines(each[0]["prompt"]), texts)


def _lines(value: object) -> str:
    """Take a text of several lines: nothing else in it moves a cursor."""
    return "\n".join(text(line) for line in str(value).split("\n"))
