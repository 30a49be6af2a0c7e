"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import EDITED, Change, compare
from leangen.generator.paths import as_scripts_look
from leangen.generator.plan import Plan, plan
from leangen.generator.plan.suggest import suggestions
from leangen.generator.render.build import build
from leangen.generator.render.not_yet import not_yet
from leangen.generator.report.over_budget import excesses
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
            diagnostics.append(
                diagnostic_at(project.spec, "name", "duplicate-name", reason)
            )
        projects[project.folder] = project
    if diagnostics:
        raise LeangenError(diagnostics)
    return list(projects.values())


def _open(file: Path, out: Path) -> Project:
    spec = load(file)
    missing = [_missing(spec, *line) for line in not_yet(spec)]
    if missing:
        raise LeangenError(missing)
    planned = plan(spec)
    if not planned.fits:
        raise LeangenError(excesses(spec, planned, suggestions(spec, planned)))
    folder, files = out / spec.name, build(as_scripts_look(spec, file, out))
    return Project(spec, planned, folder, files, tuple(compare(folder, files)))


def _missing(spec: Spec, field: str, what: str, instead: str) -> Diagnostic:
    """Say that something can be planned, and not be built yet."""
    message = (
        f"{what} can be planned and not be built yet: that follows in a later version"
    )
    remedy = f"see leangen plan; built can be {instead}"
    return diagnostic_at(spec, field, "not-yet", message, remedy)
