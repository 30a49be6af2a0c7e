"""Which stages a change makes run again: those whose scripts or inputs differ."""

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from leangen.generator.against.git import Revision, touched
from leangen.generator.open import Opened
from leangen.generator.paths import find_texts
from leangen.generator.run.jobs import Job, jobs_of
from leangen.generator.run.outcome import Ended, foresee
from leangen.generator.run.record import differences, name_in
from leangen.spec import Spec

SAME, OTHER = "same", "other"  # contents of what no script is


def run_again(at: Revision, was: Opened | None, now: Opened) -> list[Ended]:
    """Tell of each stage whether it must run again after what it was, and why.

    What is compared is what `leangen run` compares: scripts, the modules that they import,
    and what is read that lies in git; a stage that runs may change what others read.
    """
    before = _contents(was) if was else {}
    edited = touched(at) if was and _reads_files(now.spec) else []
    gone = _texts_gone(now, edited)
    moved = was is not None and was.spec.name != now.spec.name

    def reason(job: Job) -> str:
        recorded = before.get(job.stage.name)
        if recorded is None:
            return "new"
        if moved:
            return "what it wrote lies under the old name"
        for file in job.inputs:
            if file.resolve() in edited:
                recorded[name_in(job, file)] = OTHER
        if job.stage.name == "data":
            recorded |= {name_in(job, file): OTHER for file in gone}
        return next(differences(job, _read_by(job, now), recorded), "")

    return foresee(jobs_of(now.spec, now.folder, now.files), reason)


def _contents(opened: Opened) -> dict[str, dict[str, str]]:
    jobs = jobs_of(opened.spec, opened.folder, opened.files)
    return {job.stage.name: _read_by(job, opened) for job in jobs}


def _read_by(job: Job, opened: Opened) -> dict[str, str]:
    """Give the texts of a job's scripts, and a name to all else that it reads and writes."""
    others = (*job.inputs, *job.outputs)
    return {name_in(job, file): opened.files[file.name] for file in job.code} | {
        name_in(job, file): SAME for file in others
    }


def _reads_files(spec: Spec) -> bool:
    """Whether anything is read that git may have: texts, or a checkpoint."""
    return bool(_globs(spec)) or spec.model.checkpoint is not None


def _globs(spec: Spec) -> tuple[str, ...]:
    data = spec.data
    return (*data.path, *data.calibration, *data.test, *data.out_of_sample)


def _texts_gone(now: Opened, edited: Iterable[Path]) -> list[Path]:
    """List the texts that are no more: globs find them where only their names are."""
    home = now.folder.resolve().parent.parent
    with TemporaryDirectory(prefix="leangen-") as top:
        for file in edited:
            if not os.path.lexists(file) and file.is_relative_to(home):
                name = Path(top) / file.relative_to(home)
                name.parent.mkdir(parents=True, exist_ok=True)
                name.touch()
        found = find_texts(Path(top), _globs(now.spec))
        return [
            home / file.relative_to(top) for file in found if file.is_relative_to(top)
        ]
