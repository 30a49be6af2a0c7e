"""What build, check and diff answer: projects beside the disk."""

from collections.abc import Sequence

from leangen.generator.disk import show
from leangen.generator.project import Project
from leangen.generator.report.answer import NO, REFUSED, Answer
from leangen.generator.report.changes import (
    edited,
    facts,
    figures,
    foreign,
    passed_over,
    status,
    unbuilt,
    written,
)
from leangen.spec import Diagnostic


def refused(projects: Sequence[Project], force: bool) -> Answer | None:
    """Answer a build that would overwrite edits, or whose scripts would import others."""
    text, found = "", [finding for project in projects for finding in _wrong(project)]
    if not force:
        found += [finding for project in projects for finding in edited(project)]
        text = "".join(show(c) for project in projects for c in project.edited)
    return Answer(text, list(map(facts, projects)), REFUSED, found) if found else None


def _wrong(project: Project) -> list[Diagnostic]:
    """Report what no build puts right: files that are not leangen's, or not there."""
    return [*foreign(project), *project.lost]


def built(projects: Sequence[Project]) -> Answer:
    """Tell what was written."""
    return Answer("".join(map(written, projects)), list(map(facts, projects)))


def checked(projects: Sequence[Project]) -> Answer:
    """Tell whether the disk is what the specs say."""
    text = "".join(map(status, projects))
    found = [finding for project in projects for finding in _wrong(project)]
    told = [each for p in projects for each in (*edited(p), *unbuilt(p))]
    code = NO if found or any(project.changes for project in projects) else 0
    return Answer(text, list(map(facts, projects)), code, found, findings=told)


def differing(projects: Sequence[Project]) -> Answer:
    """Show what a build would change: the plan's figures, then a unified diff."""
    text, found = "", []
    for project in projects:
        changes = "".join(map(show, project.changes)) + passed_over(project)
        text += figures(project) + changes
        found.append(facts(project) | {"diff": changes})
    return Answer(text, found)
