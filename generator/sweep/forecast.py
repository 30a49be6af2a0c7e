"""How long a sweep takes: by the plan, corrected by what has run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

from leangen.generator.plan.rates import Seconds
from leangen.generator.sweep.course import Course
from leangen.generator.sweep.share import MAKERS, MODULE, digest_of

NONE: Seconds = (0.0, 0.0)  # of a stage for which nothing tells


@dataclass(frozen=True)
class Task:
    """A stage that runs once, in the first of the variants that have it."""

    stage: str
    course: Course
    planned: Seconds


@cache
def origins(course: Course) -> dict[str, str]:
    """Name each stage by what it is made from, as far as that is known before it runs.

    Of what a stage reads, what another writes is named by that one.
    """
    files = course.batch.project.code
    made: dict[str, str] = {}
    found = {}
    for job in course.batch.jobs:
        code = {
            file.name: digest_of(
                MAKERS.sub("", files[file.name])
                if file.name == MODULE
                else files[file.name]
            )
            for file in job.code
        }
        inputs = [made.get(str(file), str(file)) for file in job.inputs]
        name = digest_of(json.dumps([job.stage.name, code, inputs]))
        made |= {str(file): f"{name} {file.name}" for file in job.outputs}
        found[job.stage.name] = name
    return found


def tasks(courses: Sequence[Course]) -> dict[str, Task]:
    """List the stages that there are to run, each once, by what they are made from."""
    found: dict[str, Task] = {}
    for course in courses:
        stages = course.batch.project.plan.stages
        for stage, origin in origins(course).items():
            planned = stages[stage].seconds or NONE
            found.setdefault(origin, Task(stage, course, planned))
    return found


def sharers(courses: Sequence[Course]) -> Iterator[tuple[Course, dict[str, str]]]:
    """Tell of each variant which stages it shares, with which variant before it."""
    firsts: dict[str, Course] = {}
    for course in courses:
        shared = {}
        for stage, origin in origins(course).items():
            first = firsts.setdefault(origin, course)
            if first is not course:
                shared[stage] = first.variant.slug
        yield course, shared


def todo(courses: Sequence[Course]) -> list[Task]:
    """List the stages that are still to run."""
    passed = {
        origin
        for course in courses
        for place, origin in enumerate(origins(course).values())
        if place < course.at or course.why
    }
    found = tasks(courses).items()
    return [task for origin, task in found if origin not in passed]


def seconds_left(courses: Sequence[Course], took: Mapping[str, list[Seconds]]) -> float:
    """Foresee the seconds of what is still to run.

    took: by stage, what was planned and what it took where it ran: a stage takes as much
    of its plan as it did before, or as all stages together.
    """
    every = [each for rows in took.values() for each in rows]
    return sum(
        _corrected(task, took.get(task.stage, []), every) for task in todo(courses)
    )


def _corrected(task: Task, own: Sequence[Seconds], every: Sequence[Seconds]) -> float:
    """Foresee a stage by its plan, or where it has none by what it took elsewhere."""
    planned = middle(task.planned)
    expected, measured = (sum(row[side] for row in own or every) for side in (0, 1))
    if planned and expected:
        return planned * measured / expected
    return planned or (measured / len(own) if own else 0.0)


def middle(seconds: Seconds) -> float:
    """Take the middle of a range that spans orders of magnitude."""
    low, high = seconds
    return sqrt(low * high)


def total(planned: Sequence[Seconds]) -> Seconds:
    """Add ranges."""
    return sum(low for low, _ in planned), sum(high for _, high in planned)
