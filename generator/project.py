"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import (
    EDITED,
    EJECTED,
    MISSING,
    Change,
    compare,
    ejected,
    leftovers,
    write,
)
from leangen.generator.folder import alone, foreign
from leangen.generator.plan import Plan
from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at


@dataclass(frozen=True)
class Project:
    """One spec, planned and rendered, beside what lies on the disk.

    ejected: the author's own files, beside what leangen would write in their place.
    """

    spec: Spec
    plan: Plan
    folder: Path
    files: Mapping[str, str]
    changes: tuple[Change, ...]
    foreign: tuple[Path, ...]  # not leangen's, and the scripts would import it
    ejected: tuple[Change, ...] = ()

    @property
    def edited(self) -> list[Change]:
        """List the files that something else than leangen wrote."""
        return [change for change in self.changes if change.state == EDITED]

    @property
    def lost(self) -> list[Diagnostic]:
        """Report, at the spec, the files that are the author's and are not there."""
        return [
            diagnostic_at(
                self.spec,
                f"ejected[{place}]",
                code="ejected",
                message=f"{change.file} is ejected, and no file is there",
                suggestion="restore it, or delete its name from ejected",
            )
            for place, change in enumerate(self.ejected)
            if change.state == MISSING
        ]

    @property
    def code(self) -> Mapping[str, str]:
        """Give the files that run: leangen's, and the author's as they lie there."""
        return {**self.files, **texts_of(self.ejected)}


def texts_of(changes: Iterable[Change]) -> dict[str, str]:
    """Give the texts of the ejected files that are there, by name."""
    return {
        change.file.name: change.old
        for change in changes
        if change.state == EJECTED and change.old is not None
    }


def beside_disk(
    spec: Spec, planned: Plan, folder: Path, files: Mapping[str, str]
) -> Project:
    """Compare the files that a spec should have with a folder."""
    own = spec.ejected
    changes = tuple(c for c in compare(folder, files) if c.file.name not in own)
    for change in changes:  # what stands there already has been Python once
        if change.new is not None and change.file.suffix == ".py":
            compile(change.new, change.file.name, "exec")
    known = {*files, *own, *(change.file.name for change in changes)}
    return Project(
        spec=spec,
        plan=planned,
        folder=folder,
        files=files,
        changes=changes,
        foreign=tuple(foreign(folder, known)),
        ejected=tuple(ejected(folder, own, files)),
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
