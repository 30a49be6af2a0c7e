"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import EDITED, Change, compare, leftovers, write
from leangen.generator.folder import alone, foreign
from leangen.generator.plan import Plan
from leangen.spec import LeangenError, Spec


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


def beside_disk(
    spec: Spec, planned: Plan, folder: Path, files: Mapping[str, str]
) -> Project:
    """Compare the files that a spec should have with a folder."""
    changes = tuple(compare(folder, files))
    for change in changes:  # what stands there already has been Python once
        if change.new is not None and change.file.suffix == ".py":
            compile(change.new, change.file.name, "exec")
    known = {*files, *(change.file.name for change in changes)}
    return Project(
        spec=spec,
        plan=planned,
        folder=folder,
        files=files,
        changes=changes,
        foreign=tuple(foreign(folder, known)),
    )


def again(project: Project) -> Project:
    """Compare a project with the disk once more: with what lies there now."""
    return beside_disk(
        project.spec, project.plan, folder=project.folder, files=project.files
    )


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
