"""The charts of a single run: losses, the checkpoints' perplexities, memory beside its plan."""

from collections.abc import Sequence

from markupsafe import Markup

from leangen.generator.report.page import svg
from leangen.generator.report.page.axis import Axis, axis_of, figure, in_bytes, unit_of
from leangen.generator.report.page.charts import WIDE, Chart
from leangen.generator.report.page.labels import Box, along, around, place
from leangen.generator.report.page.lines import losses
from leangen.generator.report.page.run_figures import Checkpoint, Run, Stage
from leangen.generator.report.units import deviation

KINDS = ("n", "u", "s", "d")  # of lines, by texts
TEXTS = {"out_of_sample": "out of sample", "val": "validation"}
BRIEF = {
    "out_of_sample": "other"
}  # on narrow screens; the table under it has the names
BAR = 30  # pixels a stage


def loss_charts(run: Run) -> list[Chart]:
    """Draw a chart for each training."""
    found = {stage: series for stage, series in run.losses.items() if series}
    width = WIDE / 2 - 10 if len(found) > 1 else WIDE
    return [
        Chart(
            f"loss-{stage}",
            f"losses of {stage}.py, by step",
            lambda frame, _, series=series: losses(series, frame),  # type: ignore[misc]
            300,
            width,
        )
        for stage, series in found.items()
    ]


def checkpoint_charts(run: Run) -> list[Chart]:
    """Draw the perplexities of the models on the way, if there are several."""
    texts = [text for c in run.checkpoints for text in c.perplexity]
    if len(run.checkpoints) < 2 or not texts:
        return []
    found = list(dict.fromkeys(texts))
    title = "perplexity of each model on the way"
    return [
        Chart(
            "checkpoints",
            title,
            lambda frame, brief: _on_the_way(run.checkpoints, found, frame, brief),
            300,
        )
    ]


def _on_the_way(
    models: Sequence[Checkpoint], texts: Sequence[str], frame: svg.Frame, brief: bool
) -> list[Markup]:
    names = BRIEF if brief else TEXTS
    values = [value for model in models for value in model.perplexity.values()]
    left, right = frame.across
    step = (right - left) / len(models)
    middles = [left + step * (number + 0.5) for number in range(len(models))]
    y = axis_of(values, *frame.up)
    parts = [svg.vertical(y, frame, "perplexity (less is better)")]
    parts += [
        svg.text(x, frame.height - frame.bottom + 18, model.name, "m")
        for x, model in zip(middles, models, strict=True)
    ]
    taken, wanted = [], []
    for kind, text in zip(KINDS, texts, strict=False):
        at = [
            (x, y.place(m.perplexity[text]))
            for x, m in zip(middles, models, strict=True)
            if text in m.perplexity
        ]
        parts.append(svg.polyline(at, f"curve {kind}"))
        parts += [_dot(x, y, kind) for x, y in at]
        taken += [around(x, y, 5) for x, y in at] + list(along(at))
        shown = [figure(m.perplexity[text]) for m in models if text in m.perplexity]
        shown[0] = f"{names.get(text, text)} {shown[0]}"
        wanted += [(*point, value) for point, value in zip(at, shown, strict=True)]
    room = Box(frame.left, 20, frame.width, frame.height - frame.bottom)
    return [*parts, svg.labels(place(wanted, taken, room))]


def _dot(x: float, y: float, kind: str) -> Markup:
    return Markup('<circle cx="{}" cy="{}" r="4" class="{}"/>').format(
        svg.px(x), svg.px(y), kind
    )


def memory_charts(run: Run) -> list[Chart]:
    """Draw each stage's peak beside its plan."""
    stages = [stage for stage in run.stages if stage.measured > 0]
    if not stages:
        return []
    title = "peak memory of each stage: filled as measured, outlined as planned"
    height = BAR * len(stages) + 80
    return [Chart("memory", title, lambda frame, _: _bars(stages, frame), height)]


def _bars(stages: Sequence[Stage], frame: svg.Frame) -> list[Markup]:
    most = max(max(stage.planned, stage.measured) for stage in stages)
    unit, name = unit_of([most])
    left = 12 + 7 * max(len(stage.name) for stage in stages)
    inner = svg.Frame(frame.width, frame.height, left, frame.right, 20)
    end = frame.width - (190 if frame.width > 500 else 64)
    x = Axis(0, most, False, left, end, unit)
    parts = [svg.horizontal(x, inner, f"peak memory, {name}")]
    for number, stage in enumerate(stages):
        top = 20 + BAR * number + (frame.height - 62 - BAR * len(stages)) / 2
        measured, planned = (
            x.place(stage.measured) - left,
            x.place(stage.planned) - left,
        )
        off = deviation(round(stage.planned), round(stage.measured))
        told = (
            f"{in_bytes(stage.measured)}, planned {off}" if frame.width > 500 else off
        )
        parts += [
            svg.text(left - 7, top + 15, stage.name, "e"),
            _bar(left, top + 4, measured, 15, "measured"),
            _bar(left, top + 1, planned, 21, "planned"),
            svg.text(left + max(measured, planned) + 6, top + 15, told, "t"),
        ]
    return parts


def _bar(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>').format(
        svg.px(x), svg.px(y), svg.px(max(width, 1)), svg.px(height), kind
    )
