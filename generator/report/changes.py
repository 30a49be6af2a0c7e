"""Projects in words and in facts: what the verbs print."""

from typing import Any

from leangen.generator.plan.ledger import StagePlan
from leangen.generator.project import Project
from leangen.generator.render import plan_json
from leangen.generator.report.terminal import size
from leangen.spec import Diagnostic


def edited(project: Project) -> list[Diagnostic]:
    """Report the files that leangen will not overwrite unasked."""
    return [
        Diagnostic(
            code="edited",
            message="was edited by hand",
            file=str(change.file),
            suggestion="change the spec instead, or overwrite it with --force",
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


def written(project: Project) -> str:
    """Tell what build did: one line a file that it touched."""
    lines = [
        f"{'removed' if change.new is None else 'wrote'} {change.file}"
        for change in project.changes
    ]
    touched = sum(change.new is not None for change in project.changes)
    total = len(project.files)
    lines.append(f"{project.folder}: {total - touched} of {total} files unchanged")
    return "".join(f"{line}\n" for line in lines)


def status(project: Project) -> str:
    """Tell how the disk differs from the spec: one line a file."""
    if not project.changes and not project.foreign:
        return f"{project.folder}: up to date\n"
    lines = [f"{file}: foreign\n" for file in project.foreign]
    lines += [f"{change.file}: {change.state}\n" for change in project.changes]
    if project.changes:
        lines.append("see leangen diff, then leangen build\n")
    return "".join(lines)


def figures(project: Project) -> str:
    """Tell how the plan changes, in lines that `git apply` passes over."""
    plan, file = project.plan, project.folder / plan_json.NAME
    found = [change for change in project.changes if change.file == file]
    if not found:
        lines = [f"{plan.name}: the plan's figures do not change"]
    elif found[0].old is None:
        lines = [f"{plan.name}: a new plan", *map(_total, plan.stages.values())]
    else:
        changes = plan_json.changes(found[0].old, found[0].new or "")
        lines = [f"{plan.name}: the plan changes", *changes]
    return "".join(f"# {line}\n" for line in lines)


def _total(stage: StagePlan) -> str:
    """Set a stage's peak beside its budget."""
    budget = "" if stage.budget_bytes is None else f" of {size(stage.budget_bytes)}"
    return f"{stage.stage:<10} {size(stage.peak_bytes)}{budget}"


def facts(project: Project) -> dict[str, Any]:
    """Describe a project for --json."""
    changes = [{"file": str(c.file), "state": c.state} for c in project.changes]
    changes += [{"file": str(file), "state": "foreign"} for file in project.foreign]
    name, folder = project.spec.name, str(project.folder)
    return {"name": name, "folder": folder, "changes": changes}
