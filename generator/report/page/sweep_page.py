"""What a sweep leaves for its readers: a page, pictures, a table and what they show."""

import json
from collections.abc import Mapping
from typing import Any

from leangen.generator.report.page import svg
from leangen.generator.report.page.charts import (
    collapse_charts,
    front_charts,
    home_charts,
    legend,
    pictures,
)
from leangen.generator.report.page.compare import Curve, Pair, curves, pairs
from leangen.generator.report.page.figures import Row, Sweep
from leangen.generator.report.page.html import render
from leangen.generator.report.page.scatter import FILE, SPEED, View, front_of, views
from leangen.generator.report.page.table import COLUMNS, as_csv, details, facts, known
from leangen.generator.report.page.words import Paragraph, paragraphs

FORMAT_VERSION = 1  # of report.json
PARTS = {  # of the page: by the beginnings of the questions that they answer
    "gate": ("What passes",),
    "equal": ("At equal bytes",),
    "collapse": ("Where does it collapse", "Does recovery"),
    "home": ("Are pruned models",),
    "speed": ("Does structured",),
}


def files(sweep: Sweep) -> dict[str, str]:
    """Write all files that are text, by name."""
    told = paragraphs(sweep)
    document = json.dumps(described(sweep, told), indent=2, allow_nan=False)
    drawn = {
        f"{name}.svg": str(picture) + "\n" for name, picture in pictures(sweep).items()
    }
    texts = {"report.csv": as_csv(sweep), "report.json": f"{document}\n"}
    return {"report.html": page(sweep, told)} | texts | drawn


def page(sweep: Sweep, told: list[Paragraph]) -> str:
    """Render the page."""
    charts = front_charts(sweep)
    shown = [view for view, _ in charts]
    return render(
        "sweep.html.j2",
        {"variants": [_variant(row) for row in sweep.rows]},
        name=sweep.name,
        kind="a sweep, measured",
        about=sweep.about,
        symbols=svg.symbols(sweep.done),
        paragraphs=told,
        found={key: _of(told, starts) for key, starts in PARTS.items()},
        views=charts,
        axes=_axes(shown),
        qualities=list(
            dict.fromkeys((v.y.figure, v.y.short) for v in shown if v.y is not SPEED)
        ),
        fronts={
            view.key: [row.name for row in front_of(sweep, view)] for view in shown
        },
        legend=legend(sweep),
        collapse=collapse_charts(sweep),
        home=home_charts(sweep),
        columns=known(sweep),
        rows=sweep.rows,
    )


def _of(told: list[Paragraph], starts: tuple[str, ...]) -> list[Paragraph]:
    return [paragraph for paragraph in told if paragraph.question.startswith(starts)]


def _axes(shown: list[View]) -> list[tuple[str, str]]:
    """List the choices of axes: quality by something, and speed by size."""
    found = {v.x.figure: f"quality by {v.x.short}" for v in shown if v.y is not SPEED}
    if View(FILE, SPEED) in shown:
        found[f"{FILE.figure} {SPEED.figure}"] = "speed by file size"
    return list(found.items())


def _variant(row: Row) -> dict[str, Any]:
    """Give what the page's script shows of a row, and sorts by."""
    means = {key: row.value(key) for key, *_ in COLUMNS}
    figures = {
        key: float(f"{mean:.6g}") for key, mean in means.items() if mean is not None
    }
    about = {"name": row.name, "state": row.state}
    return about | {"details": details(row), "figures": figures}


def described(sweep: Sweep, told: list[Paragraph]) -> dict[str, Any]:
    """Give what the page shows, for programs."""
    return {
        "format_version": FORMAT_VERSION,
        "name": sweep.name,
        "about": dict(sweep.about),
        "budget_bytes": sweep.budget_bytes,
        "words": [
            {"question": p.question, "sentences": list(p.sentences)} for p in told
        ],
        "variants": [facts(row) for row in sweep.rows],
        "fronts": {
            view.key: [row.name for row in front_of(sweep, view)]
            for view in views(sweep)
        },
        "pairs": [_pair(pair) for pair in pairs(sweep)],
        "curves": [_curve(curve) for curve in curves(sweep)],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    names = {"dense": pair.dense.name, "pruned": pair.pruned.name}
    found = pair.difference
    return names | {
        "nats": found.nats,
        "margin": found.margin,
        "distinguishable": found.sure,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    about: Mapping[str, Any] = {
        "family": curve.family,
        "method": curve.method,
        "bits": curve.bits,
        "recovered": curve.recovered,
        "holds": curve.holds,
        "fails": curve.fails,
    }
    points = [
        {"name": row.name, "ratio": ratio, "times_dense": lost.ratio}
        for ratio, row, lost in curve.points
    ]
    return {**about, "points": points}
