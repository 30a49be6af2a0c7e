"""sweep.json: what each variant is, what was planned of it, and what was measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leangen.generator.folder import ARTIFACTS
from leangen.generator.plan import Plan
from leangen.generator.plan.rates import Seconds
from leangen.generator.run.jobs import Job
from leangen.generator.sweep.combine import Asked
from leangen.generator.sweep.course import DONE, Course
from leangen.generator.sweep.forecast import NONE, middle
from leangen.generator.sweep.variants import Variant
from leangen.spec import Spec

FORMAT_VERSION = 1
FILE = "sweep.json"
REFUSED = "refused"
ABOUT = ("instrument", "machine", "tokens")  # of a report: the same in every variant's
FIGURES = (
    "perplexity",
    "windowed_perplexity",
    "beside_dense",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "speeds",
    "first_token_seconds",
)
Facts = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """A sweep as far as it has come: its variants, and those of them that run."""

    base: Spec
    asked: Asked
    variants: Sequence[Variant]
    courses: Sequence[Course]


def facts(outcome: Outcome) -> Facts:
    """Describe a sweep; what is not known is left out."""
    base, target = outcome.base, outcome.base.target
    found: Facts = {
        "format_version": FORMAT_VERSION,
        "name": base.name,
        "axes": {
            axis.choice.field: list(axis.choice.values) for axis in outcome.asked.axes
        },
        "budget_bytes": target.vram_budget,
        "context": target.context,
        "hardware": target.hardware.id,
        "gates": {} if base.gates.perplexity_ratio is None else vars(base.gates),
    }
    reports = [report for course in outcome.courses if (report := _report(course))]
    found |= {key: reports[0][key] for key in ABOUT if reports and key in reports[0]}
    if reports:
        dense = reports[0]["models"]["dense"]
        found["dense"] = {
            key: dense[key] for key in ("bytes", *FIGURES) if key in dense
        }
    by_slug = {course.variant.slug: course for course in outcome.courses}
    firsts = _firsts(outcome.courses)
    baseline = next((each for each in outcome.variants if each.is_dense), None)
    found["variants"] = [
        _head(each, each is baseline) | _course(by_slug.get(each.slug), firsts)
        for each in outcome.variants
    ]
    return found


def took(courses: Sequence[Course]) -> Mapping[str, list[Seconds]]:
    """List by stage what was planned and what it took, in seconds, wherever it ran."""
    found: dict[str, list[Seconds]] = {}
    firsts = _firsts(courses)
    for course in courses:
        for job, row in _rows(course):
            stage = job.stage.name
            if firsts[course.keys[stage]] is course:
                planned = course.batch.project.plan.stages[stage].seconds or NONE
                found.setdefault(stage, []).append((middle(planned), row["seconds"]))
    return found


def _firsts(courses: Sequence[Course]) -> dict[str, Course]:
    """Give the first variant that has each stage behind it, by its content."""
    firsts: dict[str, Course] = {}
    for course in courses:
        for job in course.batch.jobs[: course.at]:
            firsts.setdefault(course.keys[job.stage.name], course)
    return firsts


def _head(variant: Variant, baseline: bool) -> Facts:
    """Say what a variant is, and what is planned of it."""
    each = variant.combination
    found: Facts = {"name": variant.name, "slug": variant.slug}
    found |= {"changes": dict(each.values), "seed": each.seed, "baseline": baseline}
    if variant.project is None:
        return found | {"state": REFUSED, "why": variant.why}
    project = variant.project
    return found | {"is": _is(project.spec), "planned": _planned(project.plan)}


def _is(spec: Spec) -> Facts:
    """Say what a variant is, whether swept or not."""
    sparsity, quantization = spec.sparsity, spec.quantization
    found: Facts = {"pattern": sparsity.pattern, "ratio": _ratio(spec)}
    if sparsity.pattern != "dense" and not sparsity.shrinks:
        found["method"] = sparsity.method
    found |= {"recovered": sparsity.recover is not None, "bits": quantization.weights}
    if quantization.weights < 16:
        found["group_size"] = quantization.group_size
        found["rounding"] = quantization.method
    return found | {"kv_cache": quantization.kv_cache}


def _ratio(spec: Spec) -> float:
    """Give the share of the weights that go; where channels do, of these."""
    if spec.sparsity.kept:
        n, m = spec.sparsity.kept
        return 1 - n / m
    return spec.sparsity.ratio or 0.0


def _planned(plan: Plan) -> Facts:
    serve = plan.stages["serve"]
    found: Facts = {
        "file_bytes": plan.exported_bytes,
        "memory_bytes": serve.peak_bytes,
    }
    if serve.seconds:
        fastest, slowest = serve.seconds
        found["tokens_per_second"] = [1 / slowest, 1 / fastest]
    return found


def _course(course: Course | None, firsts: Mapping[str, Course]) -> Facts:
    """Say how far a variant is, and what was measured on the way."""
    if course is None:
        return {}
    found: Facts = {"state": course.state} | ({"why": course.why} if course.why else {})
    stages: Facts = {}
    for job, row in _rows(course):
        keys = ("seconds", "planned_bytes", "measured_bytes")
        told = {key: row[key] for key in keys if key in row}
        first = firsts[course.keys[job.stage.name]]
        if first is not course:
            told["shared_with"] = first.variant.slug
        stages[job.stage.name] = told
    found["stages"] = stages
    found["seconds"] = round(sum(row["seconds"] for row in stages.values()), 1)
    report = _report(course)
    if report:
        found["measured"] = _measured(course, report["models"]["exported"])
    return found


def _measured(course: Course, exported: Facts) -> Facts:
    (export,) = [job for job in course.batch.jobs if job.stage.name == "export"]
    found: Facts = {"file_bytes": sum(map(_size, export.outputs))}
    if "peak_bytes" in exported:
        found["memory_bytes"] = exported["peak_bytes"]
    return found | {key: exported[key] for key in FIGURES if key in exported}


def _size(place: Path) -> int:
    files = place.iterdir() if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files)


def _rows(course: Course) -> list[tuple[Job, Facts]]:
    """Give what the stages that a variant has behind it noted of themselves."""
    ledger = _read(course, "ledger.json")
    passed = course.batch.jobs[: course.at]
    rows = [(job, ledger.get(job.stage.name)) for job in passed]
    return [
        (job, row) for job, row in rows if isinstance(row, dict) and "seconds" in row
    ]


def _report(course: Course) -> Facts:
    """Read the report of a variant, {} where it has none yet."""
    found = _read(course, "report.json") if course.state == DONE else {}
    models = found.get("models")
    whole = isinstance(models, dict) and {"dense", "exported"} <= models.keys()
    return found if whole else {}


def _read(course: Course, name: str) -> Facts:
    file = course.batch.project.folder / ARTIFACTS / name
    try:
        found: Facts = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
