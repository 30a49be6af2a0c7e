"""Running the scripts of a spec: in order, and only those whose inputs changed."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from leangen.generator.folder import alone, refuse_links_inside, sign
from leangen.generator.project import Project, again
from leangen.generator.render.requirements import TORCH_FILE
from leangen.generator.run.jobs import Job, choose, jobs_of, needs_of
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
class Ended:
    """What became of a stage (done, skipped, failed or would run), and why it ran."""

    stage: str
    outcome: str
    reason: str = ""
    exit_code: int = 0


def told(project: Project, ended: list[Ended]) -> str:
    """Write a line a stage: what became of it, and why."""
    lines = (
        f"{project.spec.name}: {found.stage}: {found.outcome}"
        f"{f': {found.reason}' if found.reason else ''}\n"
        for found in ended
    )
    return "".join(lines)


def facts(project: Project, ended: list[Ended]) -> dict[str, Any]:
    """Describe for --json what became of each stage, and why it ran."""
    return {
        "name": project.spec.name,
        "stages": {found.stage: found.outcome for found in ended},
        "reasons": {found.stage: found.reason for found in ended if found.reason},
    }


def prepare(project: Project, first: str | None, last: str | None) -> list[Job]:
    """List the jobs from one stage until another, in a folder that is sound."""
    _refuse_unsound(project)
    return choose(jobs_of(project.spec, project.folder), first, last)


def _refuse_unsound(project: Project) -> None:
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
    if project.changes:
        raise LeangenError.of(
            f"{project.folder} is not what the spec says",
            remedy="review it with leangen diff, then leangen build",
            code="stale",
            exit_code=1,
        )


def refuse_missing_packages(jobs: list[Job], always: str | None) -> None:
    """Stop before the first stage where a later one that is to run could not start."""
    needs = {}
    for job in jobs:
        names = [name for name in needs_of(job) if find_spec(name) is None]
        if names and _reason(job, always):
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


def _reason(job: Job, always: str | None) -> str:
    """Say why a stage is to run, '' where there is no need."""
    if job.stage.serves:
        return "until it is stopped"
    return "asked for by --from" if job.stage.name == always else stale(job)


def preview(project: Project, jobs: list[Job], always: str | None) -> list[Ended]:
    """Tell what would run, and why; nothing is started, nor written.

    What a stage will have written is not known before it ran: whoever reads it may run.
    """
    made: dict[object, str] = {}  # files, and the stage that would write them anew
    found = []
    for job in jobs:
        stage = job.stage.name
        outcome, reason = "would run", _reason(job, always)
        anew = next((made[file] for file in job.inputs if file in made), "")
        if not reason and anew:
            outcome, reason = "may run", f"where {anew} changes what it reads"
        if reason:
            made |= dict.fromkeys(job.outputs, stage)
        found.append(Ended(stage, outcome if reason else "would be skipped", reason))
    return found


def run_jobs(
    project: Project, jobs: list[Job], always: str | None, stdout: int | None
) -> list[Ended]:
    """Run the jobs that changed, and the one named `always`, up to the first failure."""
    ended: list[Ended] = []
    with alone(project.folder) as lock:
        _refuse_unsound(again(project))  # nobody can build from here on
        for job in jobs:
            adopt(job)
        for job in jobs:
            stage, reason = job.stage.name, _reason(job, always)
            if not reason:
                _say(project, stage, "nothing changed, skipped")
                ended.append(Ended(stage, "skipped"))
                continue
            _say(project, stage, f"{job.folder / job.stage.script} ({reason})")
            code = execute(job, stdout, lock)
            if code:
                _say(project, stage, _failure(code))
                shown = 128 - code if code < 0 else code  # as a shell has it
                return [*ended, Ended(stage, "failed", reason, shown)]
            ended.append(Ended(stage, "done", reason))
    return ended


def _failure(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _say(project: Project, stage: str, text: str) -> None:
    print(f"{project.spec.name}: {stage}: {text}", file=sys.stderr, flush=True)


def execute(job: Job, stdout: int | None, lock: int) -> int:
    """Run a stage's script, its output live; return its exit code.

    The script holds the folder's lock, too: it may outlive a leangen that is killed.
    """
    read = read_by(job)  # as it is before the stage reads it
    begin(job, read)
    command = [sys.executable, job.stage.script]
    held = os.environ | {"LEANGEN_LOCK": "held"}
    with subprocess.Popen(
        command, cwd=job.folder, env=held, stdout=stdout, pass_fds=[lock]
    ) as process:
        sign(lock, process.pid)
        try:
            code = process.wait()
        except KeyboardInterrupt:  # which the stage has received, too
            process.wait()
            raise
        except BaseException:
            process.terminate()
            raise
    if code == 0 and not job.stage.serves:
        note(job, read | written_by(job))
    end(job)
    return code
