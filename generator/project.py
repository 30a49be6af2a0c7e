"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import EDITED, Change, compare, leftovers, write
from leangen.generator.folder import alone, foreign
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
    foreign: tuple[Path, ...]  # not leangen's, and the scripts would import it

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
    return _beside_disk(spec, planned, out / spec.name, build(spec))


def _beside_disk(
    spec: Spec, planned: Plan, folder: Path, files: Mapping[str, str]
) -> Project:
    changes = tuple(compare(folder, files))
    for change in changes:  # what stands there already has been Python once
        if change.new is not None and change.file.suffix == ".py":
            compile(change.new, change.file.name, "exec")
    known = {*files, *(change.file.name for change in changes)}
    return Project(spec, planned, folder, files, changes, tuple(foreign(folder, known)))


def again(project: Project) -> Project:
    """Compare a project with the disk once more: with what lies there now."""
    return _beside_disk(project.spec, project.plan, project.folder, project.files)


def write_project(project: Project, force: bool) -> Project:
    """Write what differs, alone in the folder; return what that was.

    Raises LeangenError where another process has put something in the way meanwhile.
    """
    if not project.changes and not leftovers(project.folder):
        return project
    with alone(project.folder):
        now = again(project)
        if now.foreign or (now.edited and not force):
            raise LeangenError.of(
                f"{project.folder} was edited while leangen was at work",
                remedy="look at it with leangen check, then build again",
                code="edited",
                exit_code=3,
            )
        for file in leftovers(project.folder):
            file.unlink()
        write(now.changes)
    return now


def _missing(spec: Spec, field: str, what: str, instead: str) -> Diagnostic:
    """Say that something can be planned, and not be built yet."""
    message = (
        f"{what} can be planned and not be built yet: that follows in a later version"
    )
    remedy = f"see leangen plan; built can be {instead}"
    return diagnostic_at(spec, field, "not-yet", message, remedy)
