"""What a change of a spec does, put together for those who review it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from leangen.generator.against.again import run_again
from leangen.generator.against.compare import KEPT, Comparison
from leangen.generator.disk import Change, show
from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.suggest import Suggestion, suggestions
from leangen.generator.render.plan_json import resolved
from leangen.generator.report.units import size, speed
from leangen.generator.run.outcome import MAY_RUN, RUNS, SKIPPED, Ended
from leangen.spec.described import described

AGAIN = {RUNS: "must run", MAY_RUN: "may run", SKIPPED: "need not run"}


@dataclass(frozen=True)
class Edit:
    """A generated file that differs: its patch, and how many lines that adds and removes."""

    change: Change
    patch: str
    added: int
    removed: int


@dataclass(frozen=True)
class Review:
    """A comparison, and what follows from it; found: what would make the spec fit."""

    comparison: Comparison
    stages: Sequence[Ended]
    edits: Sequence[Edit]
    found: Sequence[Suggestion]

    @property
    def was(self) -> Plan | None:
        """The plan at the revision."""
        return self.comparison.was.plan if self.comparison.was else None

    @property
    def now(self) -> Plan | None:
        """The plan as it is."""
        return self.comparison.now.plan if self.comparison.now else None

    @property
    def is_silent(self) -> bool:
        """Whether nothing changed: neither spec, nor plan, nor files, nor what stages read."""
        rerun = any(stage.outcome != SKIPPED for stage in self.stages)
        told = self.comparison.state != KEPT or self.comparison.fields or self.edits
        return not told and not rerun and self.was == self.now


def review(comparison: Comparison) -> Review:
    """Work out what a change does: stages that run again, lines, and what would fit."""
    was, now = comparison.was, comparison.now
    stages: Sequence[Ended] = ()
    found: Sequence[Suggestion] = ()
    if now and not now.refusal:
        stages = run_again(comparison.at, was if was and was.files else None, now)
    if now and not now.plan.fits:
        found = suggestions(now.spec, now.plan)
    return Review(comparison, stages, list(map(_edit, comparison.changes)), found)


def _edit(change: Change) -> Edit:
    patch = show(change)
    lines = patch.splitlines()[2:]  # below the two names
    added = sum(line.startswith("+") for line in lines)
    removed = sum(line.startswith("-") for line in lines)
    return Edit(change, patch, added, removed)


def model_figures(plan: Plan) -> dict[str, str]:
    """Give the figures of a model that are no stage's memory or time."""
    served = plan.stages["serve"].seconds
    figures = {
        "parameters": f"{plan.parameters:,}",
        "exported model": size(plan.exported_bytes),
        "KV cache, bytes a token": f"{plan.kv_bytes_per_token:,}",
    }
    return figures | ({"predicted tokens a second": speed(served)} if served else {})


def figures_between(was: Plan, now: Plan) -> Iterator[tuple[str, str, str]]:
    """Tell which figures of the model differ, and how each reads before and after."""
    old, new = model_figures(was), model_figures(now)
    for name, after in new.items():
        before = old.get(name, "none")
        if before != after:
            yield name, before, after


def stages_between(
    was: Plan, now: Plan
) -> Iterator[tuple[str, StagePlan | None, StagePlan | None]]:
    """Pair the stages whose bytes, budget or time differ, None where there is none."""
    for name in {**was.stages, **now.stages}:
        before, after = was.stages.get(name), now.stages.get(name)
        if _seen(before) != _seen(after):
            yield name, before, after


def _seen(stage: StagePlan | None) -> object:
    return stage and (stage.peak_bytes, stage.place, stage.seconds)


def percent(before: int, after: int) -> str:
    """Write a change as a share of what was; nothing where that would read as none."""
    share = f"{after / before - 1:+z.1%}" if before else ""
    return "" if share == "+0.0%" else share


def first_sentences() -> Mapping[str, str]:
    """Give what each field is, in a sentence, by its path."""
    return {
        field.path: field.description.partition(". ")[0].rstrip(".")
        for field in described()
    }


def in_words(stages: Sequence[Ended]) -> Iterator[tuple[str, str, str]]:
    """Tell what becomes of stages: of which, and why; of several that share a reason at once."""
    for outcome, words in AGAIN.items():
        ended = (stage for stage in stages if stage.outcome == outcome)
        for reason, alike in groupby(ended, key=lambda stage: stage.reason):
            yield words, ", ".join(stage.stage for stage in alike), reason


def facts(found: Review) -> dict[str, Any]:
    """Describe a review for --json: bytes are integers, times seconds from least to most."""
    told, sentences = found.comparison, first_sentences()
    old = resolved(told.was.spec) if told.was else {}
    new = resolved(told.now.spec) if told.now else {}
    return {
        "ref": told.at.name,
        "commit": told.at.commit,
        "state": told.state,
        "changed": not found.is_silent,
        "note": told.note,
        "fields": [
            {
                "path": path,
                "before": old.get(path),
                "after": new.get(path),
                "description": sentences.get(path, ""),
            }
            for path, _, _ in told.fields
        ],
        "model": {
            "before": found.was and _model(found.was),
            "after": found.now and _model(found.now),
        },
        "stages": {
            name: {"before": _figures(before), "after": _figures(after)}
            for name, before, after in stages_between(found.was, found.now)
        }
        if found.was and found.now
        else {},
        "runs": [
            {"stage": stage.stage, "outcome": stage.outcome, "reason": stage.reason}
            for stage in found.stages
        ],
        "files": [
            {
                "file": str(edit.change.file),
                "state": edit.change.state,
                "added": edit.added,
                "removed": edit.removed,
            }
            for edit in found.edits
        ],
    }


def _model(plan: Plan) -> dict[str, int]:
    return {
        "parameters": plan.parameters,
        "exported_bytes": plan.exported_bytes,
        "kv_bytes_per_token": plan.kv_bytes_per_token,
    }


def _figures(stage: StagePlan | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    return {
        "fits": stage.fits,
        "peak_bytes": stage.peak_bytes,
        "budget_bytes": stage.place.budget_bytes,
        "seconds": list(stage.seconds) if stage.seconds else None,
    }
