"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.build import build
from leangen.generator.disk import EDITED, Change, compare
from leangen.generator.plan import Demand, Plan, plan
from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at, load


@dataclass(frozen=True)
class Project:
    """One spec, planned and rendered, beside what lies on the disk."""

    spec: Spec
    plan: Plan
    folder: Path
    files: Mapping[str, str]
    changes: tuple[Change, ...]

    @property
    def edited(self) -> list[Change]:
        """List the files that something else than leangen wrote."""
        return [change for change in self.changes if change.state == EDITED]


def open_projects(files: Iterable[Path], out: Path) -> list[Project]:
    """Load, plan and render all specs; raise all their errors at once."""
    projects: dict[Path, Project] = {}
    diagnostics: list[Diagnostic] = []
    for file in dict.fromkeys(files):
        try:
            project = _open(file, out)
        except LeangenError as error:
            diagnostics += error.diagnostics
            continue
        if project.folder in projects:
            reason = f"another spec is named {project.spec.name}, too"
            diagnostics.append(diagnostic_at(file, "name", "duplicate-name", reason))
        projects[project.folder] = project
    if diagnostics:
        raise LeangenError(diagnostics)
    return list(projects.values())


def _open(file: Path, out: Path) -> Project:
    spec = load(file)
    planned = plan(spec)
    excesses = [item for item in planned.demands.items() if not item[1].fits]
    if excesses:
        raise LeangenError(_excess(file, stage, demand) for stage, demand in excesses)
    folder, files = out / spec.name, build(spec)
    return Project(spec, planned, folder, files, tuple(compare(folder, files)))


def _excess(file: Path, stage: str, demand: Demand) -> Diagnostic:
    """Point at the budget that a stage exceeds."""
    needed, budget = demand.peak_bytes / 2**30, demand.budget_bytes / 2**30
    return diagnostic_at(
        file,
        "target.vram_budget",
        "over-budget",
        f"{stage} needs {needed:.2f} GiB, and has {budget:.2f} GiB",
        "lower the batch, the context or the bits, or raise the budget",
    )
