"""Spec files to projects: loaded, planned, rendered, and compared with the disk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import has_hashes
from leangen.generator.paths import as_scripts_look
from leangen.generator.plan import Plan, plan
from leangen.generator.plan.suggest import suggestions
from leangen.generator.project import Project, beside_disk
from leangen.generator.render.build import build
from leangen.generator.render.not_yet import not_yet
from leangen.generator.report.over_budget import excesses, remedy_of
from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at, load

NOT_YET = "not-yet"  # code of the error


@dataclass(frozen=True)
class Opened:
    """A spec, planned, and rendered unless build refuses it: `refusal` says why."""

    spec: Spec
    plan: Plan
    folder: Path
    files: Mapping[str, str]
    refusal: tuple[Diagnostic, ...] = ()


def open_projects(
    files: Iterable[Path], out: Path, hashes: bool | None = None
) -> list[Project]:
    """Load, plan and render all specs; raise all their errors at once.

    hashes: whether the requirements have them; as the folder has it where that is None.
    """
    projects: dict[Path, Project] = {}
    diagnostics: list[Diagnostic] = []
    for file in dict.fromkeys(files):
        try:
            project = _open(file, out, hashes)
        except LeangenError as error:
            diagnostics += error.diagnostics
            continue
        if project.folder in projects:
            reason = f"another spec is named {project.spec.name}, too"
            diagnostics.append(
                diagnostic_at(
                    project.spec, "name", code="duplicate-name", message=reason
                )
            )
        projects[project.folder] = project
    if diagnostics:
        raise LeangenError(diagnostics)
    return list(projects.values())


def _open(file: Path, out: Path, hashes: bool | None) -> Project:
    opened = open_spec(file, out, hashes)
    if opened.refusal:
        raise LeangenError(opened.refusal)
    return beside_disk(
        opened.spec, opened.plan, folder=opened.folder, files=opened.files
    )


def open_spec(file: Path, out: Path, hashes: bool | None = None) -> Opened:
    """Load, plan and render one spec, without a look at what was built from it.

    Raises LeangenError where it is not valid; what can be planned and not built has no files.
    """
    spec = as_scripts_look(load(file, out), file, out)
    return rendered(spec, out / spec.name, hashes)


def rendered(spec: Spec, folder: Path, hashes: bool | None = None) -> Opened:
    """Plan and render a spec, whose paths start where the scripts of a folder look."""
    planned = plan(spec)
    refusal = [_missing(spec, *line) for line in not_yet(spec)]
    if not refusal and not planned.fits:
        remedy = remedy_of(suggestions(spec, planned))
        refusal = excesses(spec, planned, remedy)
    if refusal:
        return Opened(spec, planned, folder, {}, tuple(refusal))
    files = build(spec, planned, has_hashes(folder) if hashes is None else hashes)
    return Opened(spec, planned, folder, files)


def _missing(spec: Spec, field: str, what: str, instead: str) -> Diagnostic:
    """Say that something can be planned, and not be built yet."""
    message = (
        f"{what} can be planned and not be built yet: that follows in a later version"
    )
    remedy = f"see leangen plan; built can be {instead}"
    return diagnostic_at(spec, field, code=NOT_YET, message=message, suggestion=remedy)
