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
    status,
    unbuilt,
    written,
)


def refused(projects: Sequence[Project], force: bool) -> Answer | None:
    """Answer a build that would overwrite edits, or whose scripts would import others."""
    text, found = "", [finding for project in projects for finding in foreign(project)]
    if not force:
        found += [finding for project in projects for finding in edited(project)]
        text = "".join(show(c) for project in projects for c in project.edited)
    return Answer(text, list(map(facts, projects)), REFUSED, found) if found else None


def built(projects: Sequence[Project]) -> Answer:
    """Tell what was written."""
    return Answer("".join(map(written, projects)), list(map(facts, projects)))


def checked(projects: Sequence[Project]) -> Answer:
    """Tell whether the disk is what the specs say."""
    differs = any(project.changes or project.foreign for project in projects)
    text = "".join(map(status, projects))
    found = [finding for project in projects for finding in foreign(project)]
    told = [each for p in projects for each in (*edited(p), *unbuilt(p))]
    code = NO if differs else 0
    return Answer(text, list(map(facts, projects)), code, found, findings=told)


def differing(projects: Sequence[Project]) -> Answer:
    """Show what a build would change: the plan's figures, then a unified diff."""
    text, found = "", []
    for project in projects:
        changes = "".join(map(show, project.changes))
        text += figures(project) + changes
        found.append(facts(project) | {"diff": changes})
    return Answer(text, found)
