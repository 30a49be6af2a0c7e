"""What ran: the content that each stage read and wrote when it last ended."""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from leangen.generator.disk import overwrite
from leangen.generator.folder import ARTIFACTS
from leangen.generator.run.jobs import Job

RECORD = "run.json"  # under artifacts/
PENDING = "run.pending.json"  # what the stage that was started read
_DIGESTS: dict[tuple[int, int, int, int], str] = {}  # of this process


def stale(job: Job) -> str:
    """Say why a stage is to run; '' where it ended on these inputs, outputs in place.

    Contents count alone: an attempt that was broken off in between changes nothing.
    """
    recorded = _ended_alone(job) or _read(job.folder, RECORD).get(job.stage.name)
    if not isinstance(recorded, dict):
        return "it never ran to its end here"
    return next(differences(job, read_by(job) | written_by(job), recorded), "")


def differences(
    job: Job, now: Mapping[str, str], recorded: Mapping[str, str]
) -> Iterator[str]:
    """Say what is not as it was recorded, the likeliest cause first: contents by name."""
    changed = {
        name for name in now.keys() | recorded if now.get(name) != recorded.get(name)
    }
    script, *modules = (name_in(job, file) for file in job.code)
    if script in changed:
        yield "its script changed"
    for name in modules:
        if name in changed:
            yield f"{name}, which it imports, changed"
    outputs = tuple(name_in(job, place) for place in job.outputs)
    for name in sorted(changed):
        if name in outputs or name.startswith(tuple(f"{out}/" for out in outputs)):
            yield f"its output {name} is {'changed' if name in now else 'missing'}"
    for name in sorted(changed):
        fate = "changed" if name in recorded else "is new"
        yield f"its input {name} {fate if name in now else 'is gone'}"


def read_by(job: Job) -> dict[str, str]:
    """Hash what a stage reads; the library that data.py reads is a version."""
    python = {"python": sys.version} if job.stage.name == "data" else {}
    return python | _hashes(job, (*job.code, *job.inputs))


def written_by(job: Job) -> dict[str, str]:
    """Hash what a stage has written."""
    return _hashes(job, job.outputs)


def _hashes(job: Job, files: Iterable[Path]) -> dict[str, str]:
    return {name_in(job, file): _content(job, file) for file in files_in(files)}


def files_in(places: Iterable[Path]) -> Iterator[Path]:
    """List the files that are there, and those in folders."""
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        yield from (file for file in inside if file.is_file())


def _content(job: Job, file: Path) -> str:
    """Hash a file; a given checkpoint's shard, of gigabytes, is told by size and date."""
    if file.suffix == ".safetensors" and job.folder not in file.parents:
        status = file.stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return digest(file)


def digest(file: Path) -> str:
    """Hash a file: once, under however many names it lies."""
    status = file.stat()
    known = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if known not in _DIGESTS:
        with file.open("rb") as opened:
            _DIGESTS[known] = hashlib.file_digest(opened, "sha256").hexdigest()
    return _DIGESTS[known]


def name_in(job: Job, file: Path) -> str:
    """Name a file as the record does: from the job's folder."""
    return os.path.relpath(file, job.folder)


def _ended_alone(job: Job) -> dict[str, str] | None:
    """Tell what a stage ran on that ended well after leangen was killed."""
    read = _read(job.folder, PENDING).get(job.stage.name)
    if not isinstance(read, dict) or not _mark(job).exists():
        return None
    return read | written_by(job)


def adopt(job: Job) -> None:
    """Note that a stage ended well after leangen was killed, if it did."""
    contents = _ended_alone(job)
    if contents:
        note(job, contents)
        end(job)


def _mark(job: Job) -> Path:
    """The file that a script leaves when it ended well."""
    return job.folder / ARTIFACTS / f"{job.stage.script}.ended"


def begin(job: Job, read: dict[str, str]) -> None:
    """Note what a stage reads before it starts: it may outlive leangen."""
    _mark(job).unlink(missing_ok=True)
    pending = json.dumps({job.stage.name: read}) + "\n"
    overwrite(job.folder / ARTIFACTS / PENDING, pending)


def end(job: Job) -> None:
    """Forget what was noted for a leangen that does not live on."""
    (job.folder / ARTIFACTS / PENDING).unlink(missing_ok=True)
    _mark(job).unlink(missing_ok=True)


def _read(folder: Path, name: str) -> dict[str, dict[str, str]]:
    """Read what ran; a record that is missing or damaged means that nothing did."""
    try:
        record = json.loads((folder / ARTIFACTS / name).read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def note(job: Job, contents: dict[str, str]) -> None:
    """Note that a stage ended, and on what, in one atomic move."""
    record = _read(job.folder, RECORD) | {job.stage.name: contents}
    overwrite(job.folder / ARTIFACTS / RECORD, json.dumps(record, indent=1) + "\n")
