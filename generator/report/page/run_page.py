"""The page of a single run: what it logged and measured."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from leangen.generator.report.page.axis import figure, in_bytes, percent
from leangen.generator.report.page.charts import alone
from leangen.generator.report.page.figures import SURE
from leangen.generator.report.page.html import render
from leangen.generator.report.page.run_charts import (
    checkpoint_charts,
    loss_charts,
    memory_charts,
)
from leangen.generator.report.page.run_figures import Checkpoint, Run
from leangen.generator.report.units import deviation

TEXTS = {"val": "validation", "test": "test", "out_of_sample": "out of sample"}


def run_files(run: Run) -> dict[str, str]:
    """Write all files that are text, by name."""
    charts = {
        "losses": loss_charts(run),
        "checkpoints": checkpoint_charts(run),
        "memory": memory_charts(run),
    }
    told = list(words(run))
    page = render(
        "run.html.j2",
        {"variants": []},
        name=run.name,
        kind="a run, measured",
        about=run.about,
        symbols="",
        run=run,
        words=told,
        charts=charts,
        head=["model", *head(run)],
        rows=[[model.name, *cells(run, model)] for model in run.checkpoints],
        stages=[
            [s.name, f"{s.seconds:,.1f} s", in_bytes(s.measured), in_bytes(s.planned)]
            + [deviation(round(s.planned), round(s.measured)) if s.measured else ""]
            for s in run.stages
        ],
    )
    drawn = {
        f"{chart.key}.svg": str(alone(run.name, chart, [], [])) + "\n"
        for listed in charts.values()
        for chart in listed
    }
    document = json.dumps(run_described(run, told), indent=2, allow_nan=False)
    return {"report.html": page, "report.json": f"{document}\n"} | drawn


def run_described(run: Run, told: list[str]) -> dict[str, Any]:
    """Give what the page shows, for programs."""
    return {"format_version": 1, "words": told, **asdict(run)}


def words(run: Run) -> Iterator[str]:
    """Say what came of the run: nothing that its figures do not show."""
    models = {model.name: model for model in run.checkpoints}
    told = [
        f"{n} {figure(m.perplexity['test'])}"
        for n, m in models.items()
        if "test" in m.perplexity
    ]
    if told:
        yield f"Perplexity on the test text: {', '.join(told)}."
    exported = models.get("exported")
    if exported:
        yield from _beside(exported)
    if "limit" in run.gate and "measured" in run.gate:
        ratio, limit = run.gate["measured"], run.gate["limit"]
        verdict = "held" if ratio <= limit else "missed"
        yield f"The gate is {verdict}: {ratio:.4f} times the dense model's perplexity, at most {limit:g}."
    if run.stages:
        worst = max(run.stages, key=lambda stage: stage.measured)
        yield (
            f"The stages took {sum(stage.seconds for stage in run.stages):,.0f} s; "
            f"the most memory was {worst.name}'s: {in_bytes(worst.measured)}, planned {in_bytes(worst.planned)}."
        )


def _beside(exported: Checkpoint) -> Iterator[str]:
    found = exported.beside
    if "loss_difference" in found and "loss_difference_error" in found:
        lost, margin = found["loss_difference"], SURE * found["loss_difference_error"]
        nats = f"{lost:+.4f} ± {margin:.4f} nats a token"
        sure = "loses more than" if lost > 0 else "loses less than"
        told = sure if abs(lost) > margin else "is not distinguishable from"
        yield f"The exported model {told} the dense one ({nats})."


def head(run: Run) -> list[str]:
    """Name the columns of the models' table."""
    return (
        [name for name, _ in _columns(run, run.checkpoints[0])]
        if run.checkpoints
        else []
    )


def cells(run: Run, model: Checkpoint) -> list[str]:
    """Write a model's row."""
    return [cell for _, cell in _columns(run, model)]


def _columns(run: Run, model: Checkpoint) -> Iterator[tuple[str, str]]:
    texts = dict.fromkeys(text for each in run.checkpoints for text in each.perplexity)
    for text in texts:
        value = model.perplexity.get(text)
        yield TEXTS.get(text, text), figure(value) if value else ""
    for key, name in (("kl_divergence", "KL, nats"), ("same_top", "same top")):
        value = model.beside.get(key)
        write = percent if key == "same_top" else figure
        yield name, "" if value is None else write(value)
    for key, name, write in (
        ("bytes", "size", in_bytes),
        ("zeros", "zeros", percent),
        ("prefill_tokens_per_second", "prefill, tokens/s", figure),
        ("decode_tokens_per_second", "decode, tokens/s", figure),
    ):
        value = model.figures.get(key)
        yield name, "" if value is None else write(value)
