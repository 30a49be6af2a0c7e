"""Stages that are the same in several variants: told by content, run once, linked."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leangen.generator.disk import overwrite
from leangen.generator.folder import ARTIFACTS
from leangen.generator.run.jobs import Job
from leangen.generator.run.record import name_in, note, written_by

MODULE = "artifacts.py"
# Its table of who makes what is for messages: a stage does the same with any.
MAKERS = re.compile(r"^MADE_BY = \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)


def key_of(job: Job, read: Mapping[str, str]) -> str:
    """Name a stage by what it does: the contents of its code and inputs, and its outputs."""
    text = (job.folder / MODULE).read_text(encoding="utf-8")
    contents = {**read, MODULE: digest_of(MAKERS.sub("", text))}
    outputs = [name_in(job, place) for place in job.outputs]
    return digest_of(json.dumps([sorted(contents.items()), outputs]))


def digest_of(text: str) -> str:
    """Hash a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def take(job: Job, maker: Job, read: dict[str, str]) -> None:
    """Give a stage what that of another variant has made, as if it had run here.

    It is noted last that it did: who is killed on the way begins anew.
    """
    for place, made in zip(job.outputs, maker.outputs, strict=True):
        _link(made, place)
    ours, theirs = (_table(each.folder, "files.json") for each in (job, maker))
    for place in job.outputs:
        name = place.relative_to(job.folder / ARTIFACTS).as_posix()
        ours |= {
            noted: row
            for noted, row in theirs.items()
            if noted == name or noted.startswith(f"{name}/")
        }
    stage = job.stage.name
    row = _table(maker.folder, "ledger.json").get(stage)
    ledger = _table(job.folder, "ledger.json") | ({stage: row} if row else {})
    text = json.dumps(ledger, indent=2) + "\n"
    before = list(ours.get("ledger.json", {}).items())[-1:]
    ours["ledger.json"] = dict(before) | {digest_of(text): len(text.encode())}
    overwrite(job.folder / ARTIFACTS / "files.json", json.dumps(ours, indent=2) + "\n")
    overwrite(job.folder / ARTIFACTS / "ledger.json", text)
    note(job, read | written_by(job))


def _table(folder: Path, name: str) -> dict[str, Any]:
    """Read a table that the scripts keep; what is missing or damaged is an empty one."""
    try:
        found = json.loads((folder / ARTIFACTS / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _link(made: Path, place: Path) -> None:
    """Let a file, or a folder's files, lie at another place, too, in one move."""
    partial = place.with_name(f".{place.name}.partial")
    remove(partial)
    place.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        partial.mkdir()
        for file in sorted(made.iterdir()):
            _link_file(file, partial / file.name)
    else:
        _link_file(made, partial)
    replace(partial, place)


def replace(partial: Path, place: Path) -> None:
    """Let a file, or a folder, that is whole take the place of what was there."""
    if partial.is_dir():
        remove(place)
    os.replace(partial, place)


def _link_file(made: Path, place: Path) -> None:
    """Link a file, which no script changes in its place; copy it where that cannot be."""
    try:
        os.link(made, place)
    except OSError:
        shutil.copy2(made, place)


def remove(place: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
