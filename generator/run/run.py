"""Running the scripts of a spec: in order, and only those whose inputs changed."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from leangen.generator.project import Project
from leangen.generator.render.script import TORCH_FILE
from leangen.generator.run.jobs import Job, choose, jobs_of, needs_of
from leangen.generator.run.record import hashes_of, is_done, note
from leangen.spec import LeangenError


def prepare(project: Project, first: str | None, last: str | None) -> list[Job]:
    """List the jobs from one stage until another, if they can run at all."""
    if project.changes:
        raise LeangenError.of(
            f"{project.folder} is not what the spec says",
            remedy="review it with leangen diff, then leangen build",
            code="stale",
            exit_code=1,
        )
    jobs = choose(jobs_of(project.spec, project.folder), first, last)
    _refuse_missing_packages(jobs, first)
    return jobs


def _refuse_missing_packages(jobs: list[Job], always: str | None) -> None:
    """Stop before the first stage where a later one that is to run could not start."""
    needs = {}
    for job in jobs:
        names = [name for name in needs_of(job) if find_spec(name) is None]
        if names and (job.stage.name == always or not is_done(job)):
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
            remedy=f"{first}pip install {' '.join(files)}",
            code="missing-package",
        )


def run_jobs(
    project: Project, jobs: list[Job], always: str | None, stdout: int | None
) -> tuple[dict[str, str], int]:
    """Run the jobs that changed, and the one named `always`, up to the first failure.

    Returns what became of each stage (done, skipped or failed), and the exit code.
    """
    ended: dict[str, str] = {}
    with _alone(project.folder):
        for job in jobs:
            stage = job.stage.name
            if stage != always and not job.stage.serves and is_done(job):
                ended[stage] = "skipped"
                _say(project, stage, "nothing changed, skipped")
                continue
            _say(project, stage, str(job.folder / job.stage.script))
            code = execute(job, stdout)
            ended[stage] = "failed" if code else "done"
            if code < 0:
                _say(project, stage, f"was killed by {signal.Signals(-code).name}")
                return ended, 128 - code  # as a shell has it
            if code:
                _say(project, stage, f"ended with exit code {code}")
                return ended, code
    return ended, 0


def _say(project: Project, stage: str, text: str) -> None:
    print(f"{project.spec.name}: {stage}: {text}", file=sys.stderr, flush=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's artifacts: two runs at once would mix their files."""
    (folder / "artifacts").mkdir(exist_ok=True)
    with (folder / "artifacts" / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeangenError.of(
                f"another leangen run is at work in {folder}",
                remedy="wait for it, or stop it",
                code="busy",
                exit_code=1,
            ) from None
        yield


def execute(job: Job, stdout: int | None = None) -> int:
    """Run a stage's script, its output live; return its exit code."""
    read = hashes_of(job, job.inputs)  # as they are before the stage reads them
    note(job, None)
    command = [sys.executable, job.stage.script]
    with subprocess.Popen(command, cwd=job.folder, stdout=stdout) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # which the stage has received, too
            process.wait()
            raise
        except BaseException:
            process.terminate()
            raise
    if code == 0 and not job.stage.serves:
        note(job, read | hashes_of(job, job.outputs))
    return code
