"""What `leangen sweep` answers: variants made, run and measured, side by side."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from leangen.generator.disk import overwrite
from leangen.generator.folder import hold, require_folders
from leangen.generator.paths import as_scripts_look
from leangen.generator.project import write_project
from leangen.generator.report.answer import NO, Answer
from leangen.generator.report.built import refused
from leangen.generator.report.page import write
from leangen.generator.run.jobs import choose, jobs_of
from leangen.generator.run.run import Batch
from leangen.generator.sweep.combine import Asked, asked_of
from leangen.generator.sweep.course import Course, Place, Sweep
from leangen.generator.sweep.forecast import seconds_left, sharers, todo
from leangen.generator.sweep.here import Here
from leangen.generator.sweep.results import FILE, Outcome, facts, took
from leangen.generator.sweep.told import foreseen, headline, progress, results
from leangen.generator.sweep.variants import Variant, variants_of
from leangen.spec import Diagnostic, LeangenError, Spec, diagnostic_at, load

LOCK = ".lock"


def sweep(
    file: Path,
    out: Path,
    over: Sequence[str],
    without: Sequence[str],
    *,
    repeat: int | None,
    jobs: int,
    dry_run: bool,
    isolated: bool,
    on: str | None,
) -> Answer:
    """Run every variant of a spec, or say what there would be to run."""
    base = load(file)
    _refuse_ejected(base)
    asked = asked_of(base, over, without, repeat)
    home = out / base.name
    as_scripts_look(base, file, home)  # raises what no variant could mend
    variants = variants_of(base, file, home, asked)
    if dry_run:
        return _foreseen(_outcome(base, asked, variants, isolated))
    projects = [each.project for each in variants if each.project]
    if not projects:
        raise LeangenError(
            Diagnostic("refused", f"{each.name}: refused: {each.why}")
            for each in variants
        )
    refusal = refused(projects, force=False)
    if refusal:
        return refusal
    require_folders(home)
    with _place(on, jobs) as place:
        home.mkdir(parents=True, exist_ok=True)
        with hold(home / LOCK, home):
            for project in projects:
                write_project(project, force=False)
            return _run(_outcome(base, asked, variants, isolated), home, place)


def _place(on: str | None, jobs: int) -> AbstractContextManager[Place]:
    """Say where stages run; Ray is loaded where it is asked for, and nowhere else."""
    if on is None:
        return nullcontext(Here(jobs))
    if find_spec("ray") is None:
        raise LeangenError.of(
            "--on ray needs Ray, which this Python has not",
            remedy="pip install 'leangen[ray]', here and on the cluster's machines",
            code="missing-package",
        )
    from leangen.generator.sweep.cluster import joined

    return joined(jobs)


def _outcome(
    base: Spec, asked: Asked, variants: Sequence[Variant], isolated: bool
) -> Outcome:
    """Set out with each variant: where its folder is there, its texts are found from it."""
    courses = [_course(each, isolated) for each in variants if each.project]
    return Outcome(base, asked, variants, courses)


def _refuse_ejected(base: Spec) -> None:
    """Stop where files are the author's: no axis would reach them."""
    if base.ejected:
        found = diagnostic_at(
            base,
            "ejected",
            code="ejected",
            message="files that are yours would be the same in every variant",
            suggestion="sweep over a copy of the spec without ejected",
        )
        raise LeangenError([found])


def _course(variant: Variant, isolated: bool) -> Course:
    project = variant.project
    assert project, "what is refused runs nothing"
    jobs = choose(jobs_of(project.spec, project.folder, project.code), None, None)
    return Course(variant, Batch(project, jobs, always=None, isolated=isolated))


def _foreseen(outcome: Outcome) -> Answer:
    """Say what there would be to run."""
    Sweep(outcome.courses, Here(1)).look()
    document = facts(outcome)
    shared = {course.variant.slug: found for course, found in sharers(outcome.courses)}
    for each in document["variants"]:
        each["would_share"] = shared.get(each["slug"], {})
    document["planned_seconds"] = [
        sum(task.planned[side] for task in todo(outcome.courses)) for side in (0, 1)
    ]
    return Answer(foreseen(outcome), [document], document=document)


def _run(outcome: Outcome, home: Path, place: Place) -> Answer:
    """Run what did not run yet, and note after each variant what there is."""
    place.make_ready([course.batch for course in outcome.courses])
    going = Sweep(outcome.courses, place)
    going.resume()
    _say(headline(outcome))
    with _noted(outcome, home):
        going.run(lambda course: _tell(outcome, course, home, place.slots))
    document = facts(outcome)
    page = write(document, home)[0]
    text = f"{results(outcome, document)}wrote {home / FILE}, {page}\n"
    failed = any(course.why for course in outcome.courses)
    return Answer(text, [document], NO if failed else 0, document=document)


@contextmanager
def _noted(outcome: Outcome, home: Path) -> Iterator[None]:
    """Leave sweep.json behind, however a sweep ends."""
    try:
        yield
    except KeyboardInterrupt:
        raise LeangenError.of(
            f"{outcome.base.name} was interrupted",
            remedy="the next leangen sweep goes on from there",
            code="interrupted",
            exit_code=130,
        ) from None
    finally:
        _note(outcome, home)


def _note(outcome: Outcome, home: Path) -> None:
    text = json.dumps(facts(outcome), indent=2) + "\n"
    overwrite(home / FILE, text)


def _tell(outcome: Outcome, course: Course, home: Path, slots: int) -> None:
    """Say what came of a variant, and note it."""
    _note(outcome, home)
    seconds = seconds_left(outcome.courses, took(outcome.courses)) / slots
    _say(progress(outcome, course, seconds))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
