"""What ran: the content that each stage read and wrote when it last ended."""

import hashlib
import json
import os
import sys
from pathlib import Path

from leangen.generator.run.jobs import Job

RECORD = "run.json"  # under artifacts/


def is_done(job: Job) -> bool:
    """Whether the stage ended on these very inputs and its outputs are still there."""
    recorded = _read_record(job.folder).get(job.stage.name)
    return recorded == hashes_of(job, (*job.inputs, *job.outputs))


def hashes_of(job: Job, files: tuple[Path, ...]) -> dict[str, str]:
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


def note(job: Job, contents: dict[str, str] | None) -> None:
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
