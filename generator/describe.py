"""Projects in words and in facts: what the verbs print."""

from typing import Any

from leangen.generator.project import Project
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
    if not project.changes:
        return f"{project.folder}: up to date\n"
    lines = [f"{change.file}: {change.state}\n" for change in project.changes]
    return "".join([*lines, "see leangen diff, then leangen build\n"])


def figures(project: Project) -> str:
    """Sum the plan up, in lines that `git apply` passes over."""
    plan = project.plan
    lines = [
        f"{plan.name}: {plan.parameters:,} parameters",
        f"  exported weights {plan.exported_bytes:,} bytes",
        f"  KV cache {plan.kv_bytes:,} bytes, {plan.kv_bytes_per_token:,} a token",
    ]
    for stage, demand in plan.demands.items():
        needed, budget = demand.peak_bytes / 2**30, demand.budget_bytes / 2**30
        lines.append(f"  {stage} {needed:.2f} of {budget:.2f} GiB")
    return "".join(f"# {line}\n" for line in lines)


def facts(project: Project) -> dict[str, Any]:
    """Describe a project for --json."""
    changes = [{"file": str(c.file), "state": c.state} for c in project.changes]
    name, folder = project.spec.name, str(project.folder)
    return {"name": name, "folder": folder, "changes": changes}
