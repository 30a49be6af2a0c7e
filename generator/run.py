"""Running the scripts of a spec: in order, and only those whose inputs changed."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from leangen.generator.project import Project
from leangen.generator.stages import Stage, stages_of
from leangen.spec import LeangenError, Spec

RECORD = (
    "run.json"  # under artifacts/: what each stage read and wrote when it last ended
)


@dataclass(frozen=True)
class Job:
    """A stage, and the files that it reads and writes, in one folder."""

    stage: Stage
    folder: Path
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


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
    _refuse_missing_packages(jobs)
    return jobs


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


def _refuse_missing_packages(jobs: list[Job]) -> None:
    """Stop before the first stage where a later one could not start."""
    needs = {job: [n for n in _needs(job) if find_spec(n) is None] for job in jobs}
    missing = sorted({name for names in needs.values() for name in names})
    if missing:
        files = [
            f"-r {job.folder}/requirements-{job.stage.name}.txt"
            for job, names in needs.items()
            if names
        ]
        raise LeangenError.of(
            f"this Python has no {', '.join(missing)}",
            remedy=f"pip install {' '.join(files)}",
            code="missing-package",
        )


def jobs_of(spec: Spec, folder: Path) -> list[Job]:
    """List what there is to run for a spec, in order; the server last."""
    artifacts = folder / "artifacts"
    written: set[str] = set()
    jobs = []
    for stage in stages_of(spec):
        if not stage.runs:
            continue
        scripts = [folder / stage.script, *([folder / "model.py"] * stage.uses_model)]
        inputs = [artifacts / name for name in stage.reads if name in written]
        texts = _texts(spec, folder) if stage.name == "data" else []
        outputs = tuple(artifacts / name for name in stage.writes)
        jobs.append(Job(stage, folder, (*scripts, *inputs, *texts), outputs))
        written |= set(stage.writes)
    return jobs


def _texts(spec: Spec, folder: Path) -> Iterator[Path]:
    """List the text files that data.py reads, as its find_text does."""
    project = folder.resolve().parent.parent
    for pattern in (*spec.data.path, *spec.data.out_of_sample):
        for name in sorted(glob(pattern, root_dir=project, recursive=True)):
            if (project / name).is_file():
                yield project / name


def choose(jobs: list[Job], first: str | None, last: str | None) -> list[Job]:
    """Cut the jobs from one stage until another; without `last`, before the server."""
    names = [job.stage.name for job in jobs]
    for name in (first, last):
        if name is not None and name not in names:
            raise LeangenError.of(
                f"there is no stage {name!r} in this spec",
                remedy=f"choose one of {', '.join(names)}",
                code="unknown-stage",
            )
    start = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(names)
    if end <= start:
        raise LeangenError.of(f"{last} comes before {first}", code="order")
    chosen = jobs[start:end]
    return [job for job in chosen if not job.stage.serves or job.stage.name == last]


def is_done(job: Job) -> bool:
    """Whether the stage ended on these very inputs and its outputs are still there."""
    recorded = _read_record(job.folder).get(job.stage.name)
    return recorded == _hashes(job, (*job.inputs, *job.outputs))


def execute(job: Job, stdout: int | None = None) -> int:
    """Run a stage's script, its output live; return its exit code."""
    read = _hashes(job, job.inputs)  # as they are before the stage reads them
    _record(job, None)
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
        _record(job, read | _hashes(job, job.outputs))
    return code


def _needs(job: Job) -> list[str]:
    """Name the modules that the stage's requirements install."""
    text = (job.folder / f"requirements-{job.stage.name}.txt").read_text()
    return [line.partition("==")[0] for line in text.splitlines() if "==" in line]


def _hashes(job: Job, files: tuple[Path, ...]) -> dict[str, str]:
    """Hash the files that are there; the library that data.py reads is a version."""
    hashes = {"python": sys.version} if job.stage.name == "data" else {}
    for file in files:
        if file.exists():
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            hashes[os.path.relpath(file, job.folder)] = digest
    return hashes


def _read_record(folder: Path) -> dict[str, dict[str, str]]:
    """Read what ran; a record that is missing or damaged means that nothing did."""
    try:
        record = json.loads((folder / "artifacts" / RECORD).read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _record(job: Job, contents: dict[str, str] | None) -> None:
    """Note, or forget, that a stage ended; in one atomic move."""
    artifacts = job.folder / "artifacts"
    record = _read_record(job.folder)
    record.pop(job.stage.name, None)
    if contents is not None:
        record[job.stage.name] = contents
    artifacts.mkdir(exist_ok=True)
    partial = artifacts / f"{RECORD}.partial"
    partial.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(partial, artifacts / RECORD)
