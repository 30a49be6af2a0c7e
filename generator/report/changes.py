"""Projects in words and in facts: what the verbs print."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from leangen.generator.disk import EDITED, MISSING, Change, show
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.rates import Seconds
from leangen.generator.project import Project
from leangen.generator.render import plan_json
from leangen.generator.report.texts import notes
from leangen.generator.report.units import (
    QUANTITIES,
    duration,
    durations,
    each_of,
    size,
)
from leangen.spec import Diagnostic, diagnostic_at
from leangen.spec.errors import printable

NONE = "none"  # where there is no time to tell
NAMED = 5  # files that a finding names


def edited(project: Project) -> list[Diagnostic]:
    """Report the files that leangen will not overwrite unasked."""
    return [
        Diagnostic(
            code="edited",
            message="was edited by hand",
            file=str(change.file),
            suggestion="change the spec instead, overwrite it with --force, "
            "or make it yours with leangen eject",
        )
        for change in project.edited
    ]


def foreign(project: Project) -> list[Diagnostic]:
    """Report the files that the scripts would import, and that leangen did not write."""
    return [
        Diagnostic(
            code="foreign",
            message="is not leangen's, and the scripts beside it would import it",
            file=str(file),
            suggestion="remove it, or move it to another folder",
        )
        for file in project.foreign
    ]


def kept(project: Project) -> str:
    """Tell, in a line each, what leangen leaves to its author."""
    return "".join(
        f"{change.file}: ejected, {_beside(change)}\n" for change in project.ejected
    )


def passed_over(project: Project) -> str:
    """Show what leangen would write in place of the author's, in lines that are no patch."""
    lines = []
    for change in project.ejected:
        patch = show(change).splitlines() if change.new is not None else []
        then = "; leangen would write:" if patch else ""
        lines += [f"{change.file}: ejected, {_beside(change)}{then}", *patch]
    return "".join(f"# {line}\n" for line in lines)


def _beside(change: Change) -> str:
    if change.state == MISSING:
        return "and missing"
    return "left as it is" if change.new is not None else "no longer used, left there"


def unbuilt(project: Project) -> list[Diagnostic]:
    """Report, at the spec, the files that a build would write or remove, but edited ones."""
    names = [change.file.name for change in project.changes if change.state != EDITED]
    if not names:
        return []
    listed = ", ".join(names[:NAMED])
    more = len(names) - NAMED
    message = f"{len(names)} files of {project.folder} are out of date: {listed}"
    return [
        diagnostic_at(
            project.spec,
            "name",
            code="not-built",
            message=message + (f" and {more} more" if more > 0 else ""),
            suggestion="leangen build brings them up to date",
        )
    ]


def written(project: Project) -> str:
    """Tell what build did: one line a file that it touched."""
    lines = [
        f"{'removed' if change.new is None else 'wrote'} {change.file}"
        for change in project.changes
    ]
    touched = sum(change.new is not None for change in project.changes)
    total = len(project.files.keys() - {*project.spec.ejected})
    lines.append(f"{project.folder}: {total - touched} of {total} files unchanged")
    lines += [f"note: {note}" for note in notes(project)]
    return kept(project) + "".join(f"{line}\n" for line in lines)


def status(project: Project) -> str:
    """Tell how the disk differs from the spec: one line a file."""
    own = kept(project)
    if not project.changes and not project.foreign and not project.lost:
        return f"{own}{project.folder}: up to date\n"
    lines = [own, *(f"{file}: foreign\n" for file in project.foreign)]
    lines += [f"{change.file}: {change.state}\n" for change in project.changes]
    if project.changes:
        lines.append("see leangen diff, then leangen build\n")
    return "".join(lines)


def facts(project: Project) -> dict[str, Any]:
    """Describe a project for --json."""
    changes = [{"file": str(c.file), "state": c.state} for c in project.changes]
    changes += [{"file": str(file), "state": "foreign"} for file in project.foreign]
    ejected = [{"file": str(c.file), "state": c.state} for c in project.ejected]
    name, folder = project.spec.name, str(project.folder)
    return {"name": name, "folder": folder, "changes": changes, "ejected": ejected}


def figures(project: Project) -> str:
    """Tell how the plan changes, in lines that `git apply` passes over."""
    plan, file = project.plan, project.folder / plan_json.NAME
    found = [change for change in project.changes if change.file == file]
    if not found:
        lines = [f"{plan.name}: the plan's figures do not change"]
    elif found[0].old is None:
        lines = [f"{plan.name}: a new plan", *map(total, plan.stages.values())]
    elif found[0].new is None:
        lines = [f"{plan.name}: the plan goes, and all that was built of it"]
    else:
        changes = changes_between(
            read_figures(found[0].old), read_figures(found[0].new)
        )
        lines = [f"{plan.name}: the plan changes", *changes]
    return "".join(f"# {text}\n" for text in lines)


def total(stage: StagePlan) -> str:
    """Set a stage's peak beside its budget, and tell its time."""
    budget = stage.place.budget_bytes
    against = "" if budget is None else f" of {size(budget)}"
    time = f", {duration(stage.seconds)}{each_of(stage.stage)}" if stage.seconds else ""
    return f"{stage.stage:<10} {size(stage.peak_bytes)}{against}{time}"


@dataclass(frozen=True)
class _Stage:
    """What a plan.json says of a stage: items and the peak in bytes, and its time."""

    held: Mapping[str, int] = field(default_factory=dict)
    seconds: Seconds | None = None


@dataclass(frozen=True)
class Figures:
    """What a plan.json says: fields of the spec, and stages."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, _Stage] = field(default_factory=dict)


def read_figures(text: str | None) -> Figures:
    """Read a plan.json; one that is missing or damaged tells nothing."""
    try:
        found = json.loads(text or "")
        stages = {name: _stage(row) for name, row in found["stages"].items()}
        return Figures(dict(found["spec"]), stages)
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return Figures()


def _stage(row: Mapping[str, Any]) -> _Stage:
    held = {**row["ledger"], "peak": row["peak_bytes"]}
    seconds = row.get("seconds")
    if seconds:
        least, most = map(float, seconds)
        seconds = least, most
    return _Stage({item: int(count) for item, count in held.items()}, seconds)


def changes_between(old: Figures, new: Figures) -> Iterator[str]:
    """Tell what differs between two plans: fields, then each stage's bytes and time."""
    if not old.fields:
        return
    for change in fields_between(old.fields, new.fields):
        yield line(*change)
    for name in {**old.stages, **new.stages}:
        stages = old.stages.get(name, _Stage()), new.stages.get(name, _Stage())
        yield from _stage_changes(name, *stages)


def fields_between(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Tell which fields differ: their path, and how each reads before and after."""
    for path in {**old, **new}:
        before, after = old.get(path), new.get(path)
        if before != after:
            yield path, _show(path, before), _show(path, after)


def _stage_changes(stage: str, old: _Stage, new: _Stage) -> Iterator[str]:
    for item in {**old.held, **new.held}:
        before, after = old.held.get(item, 0), new.held.get(item, 0)
        if before != after:
            sign = "+" if after > before else "-"
            now = f"{size(after):<14} {sign}{size(abs(after - before))}"
            yield line(f"{stage} {item}", size(before), now)
    if old.seconds != new.seconds:
        yield line(f"{stage} time{each_of(stage)}", *times(old.seconds, new.seconds))


def line(what: str, before: str, after: str) -> str:
    return f"{what:<26} {before:>14} -> {after}"


def times(before: Seconds | None, after: Seconds | None) -> tuple[str, str]:
    if before and after:
        return durations(before, after)
    old = duration(before) if before else NONE
    return old, duration(after) if after else NONE


def _show(path: str, value: Any) -> str:
    if isinstance(value, dict):  # names by bits: the patch below has them line by line
        listed = [names for names in value.values() if isinstance(names, list | tuple)]
        return f"{sum(map(len, listed))} names" if listed else "none"
    if isinstance(value, list | tuple):
        return printable(", ".join(map(str, value))) or "none"
    number = isinstance(value, int) and not isinstance(value, bool)
    if number:
        return size(value) if QUANTITIES.get(path) == "bytes" else f"{value:,}"
    return printable(value) if isinstance(value, str) else str(value).lower()
