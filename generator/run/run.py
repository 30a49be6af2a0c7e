"""Running the scripts of a spec: in order, and only those whose inputs changed."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from leangen.generator.environments.make import HERE, Python, python_of
from leangen.generator.folder import alone, refuse_links_inside, sign
from leangen.generator.project import Project, again
from leangen.generator.render.requirements import TORCH_FILE
from leangen.generator.run.jobs import Job, choose, environment_of, jobs_of, needs_of
from leangen.generator.run.outcome import Ended, Outcome, foresee
from leangen.generator.run.record import (
    adopt,
    begin,
    end,
    note,
    read_by,
    stale,
    written_by,
)
from leangen.spec import LeangenError


@dataclass(frozen=True)
class Batch:
    """The jobs to run in a project's folder.

    always: a stage that runs, done or not.
    isolated: whether each stage runs in an environment of its own.
    """

    project: Project
    jobs: Sequence[Job]
    always: str | None
    isolated: bool = False


def prepare(
    projects: Iterable[Project],
    first: str | None,
    last: str | None,
    *,
    isolated: bool,
) -> list[Batch]:
    """List the jobs from one stage until another, in folders that are sound."""
    batches = []
    for project in projects:
        refuse_unsound(project)
        jobs = choose(jobs_of(project.spec, project.folder, project.code), first, last)
        batches.append(Batch(project, jobs, always=first, isolated=isolated))
    return batches


def refuse_unsound(project: Project) -> None:
    """Stop where the scripts are not what the spec says, or would not stay inside."""
    refuse_links_inside(project.folder)
    for file in project.foreign:
        raise LeangenError.of(
            "is not leangen's, and the scripts beside it would import it",
            remedy="remove it, or move it to another folder",
            code="foreign",
            exit_code=1,
            file=str(file),
        )
    if project.lost:
        raise LeangenError(project.lost, exit_code=1)
    if project.changes:
        raise LeangenError.of(
            f"{project.folder} is not what the spec says",
            remedy="review it with leangen diff, then leangen build",
            code="stale",
            exit_code=1,
        )


def _refuse_missing_packages(batch: Batch) -> None:
    """Stop before the first stage where a later one that is to run could not start."""
    needs = {}
    for job in batch.jobs:
        script = batch.project.files[job.stage.script]
        names = [name for name in needs_of(script) if find_spec(name) is None]
        if names and _reason(batch, job):
            needs[job] = names
    missing = sorted({name for names in needs.values() for name in names})
    if missing:
        files = [f"-r {job.folder}/requirements-{job.stage.name}.txt" for job in needs]
        torch = next(iter(needs)).folder / TORCH_FILE
        if "torch" in missing and torch.exists():
            first = f"pip install --no-deps -r {torch} && "
        else:
            first = ""
        raise LeangenError.of(
            f"this Python has no {', '.join(missing)}",
            remedy=f"{first}pip install {' '.join(files)}; or add --isolated",
            code="missing-package",
        )


def _make_environments(batch: Batch) -> None:
    """Make what is missing before the first stage, so that none fails after hours."""
    likely = {found.stage for found in preview(batch).stages if found.reason}
    for job in batch.jobs:
        if job.stage.name in likely:
            python_for(batch, job)


def python_for(batch: Batch, job: Job) -> Python:
    """Give the Python that runs a stage: this one, or that of the stage's environment."""
    if not batch.isolated:
        return HERE
    return python_of(environment_of(batch.project.files, job.stage.script))


def _reason(batch: Batch, job: Job) -> str:
    """Say why a stage is to run, '' where there is no need."""
    if job.stage.serves:
        return "until it is stopped"
    return "asked for by --from" if job.stage.name == batch.always else stale(job)


def preview(batch: Batch) -> Outcome:
    """Tell what would run, and why; nothing is started, nor written."""
    found = foresee(batch.jobs, lambda job: _reason(batch, job))
    return Outcome(batch.project.spec.name, found)


def run_all(batches: Sequence[Batch], stdout: int | None) -> list[Outcome]:
    """Run what changed in each folder, up to the first failure."""
    make_ready(batches)
    outcomes = []
    for batch in batches:
        outcomes.append(_run(batch, stdout))
        if outcomes[-1].exit_code:
            break
    return outcomes


def make_ready(batches: Iterable[Batch]) -> None:
    """See to it that each stage can start, before the first one does."""
    for batch in batches:
        if batch.isolated:
            _make_environments(batch)
        else:
            _refuse_missing_packages(batch)


def _run(batch: Batch, stdout: int | None) -> Outcome:
    """Run the jobs that changed, alone in the folder, up to the first failure."""
    ended: list[Ended] = []
    with alone(batch.project.folder) as lock:
        refuse_unsound(again(batch.project))  # nobody can build from here on
        for job in batch.jobs:
            adopt(job)
        for job in batch.jobs:
            ended.append(_run_stage(batch, job, stdout, lock=lock))
            if ended[-1].exit_code:
                break
    return Outcome(batch.project.spec.name, ended)


def _run_stage(batch: Batch, job: Job, stdout: int | None, *, lock: int) -> Ended:
    """Run a stage where there is a reason, and say what becomes of it."""
    name, stage, reason = batch.project.spec.name, job.stage.name, _reason(batch, job)
    if not reason:
        _say(name, stage, "nothing changed, skipped")
        return Ended(stage, "skipped")
    _say(name, stage, f"{job.folder / job.stage.script} ({reason})")
    try:
        code = execute(job, stdout, lock, python_for(batch, job))
    except KeyboardInterrupt:
        raise _interrupted(name, job) from None
    if code:
        _say(name, stage, _failure(code))
        shown = 128 - code if code < 0 else code  # as a shell has it
        return Ended(stage, "failed", reason, shown)
    return Ended(stage, "done", reason)


def _interrupted(name: str, job: Job) -> LeangenError:
    """Say what Ctrl-C ended; a server has nothing to go on with."""
    remedy = "" if job.stage.serves else "the next leangen run goes on from there"
    return LeangenError.of(
        f"{name}: {job.stage.name} was interrupted",
        remedy=remedy,
        code="interrupted",
        exit_code=130,
    )


def _failure(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _say(name: str, stage: str, text: str) -> None:
    print(f"{name}: {stage}: {text}", file=sys.stderr, flush=True)


class Process(Protocol):
    """A process, here or elsewhere, as subprocess has it."""

    def poll(self) -> int | None:
        """Give its exit code, None while it runs."""

    def wait(self) -> int:
        """Give its exit code when it has ended."""

    def terminate(self) -> None:
        """Ask it to end."""


@dataclass(frozen=True)
class Started:
    """A stage that runs: its process, and what it reads, as it was before."""

    job: Job
    process: Process
    read: dict[str, str]


def start(
    job: Job, lock: int, python: Python, *, stdout: int | None, stderr: int | None
) -> Started:
    """Start a stage's script, which holds the folder's lock, too.

    It may outlive a leangen that is killed.
    """
    read = read_by(job)
    begin(job, read)
    process = subprocess.Popen(
        [str(python.program), job.stage.script],
        cwd=job.folder,
        env={**python.variables, "LEANGEN_LOCK": "held"},
        stdout=stdout,
        stderr=stderr,
        pass_fds=[lock],
    )
    sign(lock, process.pid)
    return Started(job, process, read)


def settle(started: Started, code: int) -> None:
    """Note what came of a stage that has ended."""
    job = started.job
    if code == 0 and not job.stage.serves:
        note(job, started.read | written_by(job))
    end(job)


def execute(job: Job, stdout: int | None, lock: int, python: Python = HERE) -> int:
    """Run a stage's script, its output live; return its exit code."""
    started = start(job, lock, python, stdout=stdout, stderr=None)
    try:
        code = started.process.wait()
    except KeyboardInterrupt:  # which the stage has received, too
        started.process.wait()
        raise
    except BaseException:
        started.process.terminate()
        started.process.wait()
        raise
    settle(started, code)
    return code
