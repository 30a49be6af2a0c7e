"""What there is to run for a spec: its stages in one folder, with their files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.environments.locked import Locked, locked
from leangen.generator.paths import find_texts
from leangen.generator.render.imports import imported_modules
from leangen.generator.render.requirements import TORCH_FILE
from leangen.generator.stages import Stage, stages_of
from leangen.spec import LeangenError, Spec


@dataclass(frozen=True)
class Job:
    """A stage, and the files that it runs, reads and writes, in one folder.

    code: its script, and what that imports of the modules beside it.
    """

    stage: Stage
    folder: Path
    code: tuple[Path, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


def jobs_of(spec: Spec, folder: Path, files: Mapping[str, str]) -> list[Job]:
    """List what there is to run for a spec, in order; the server last.

    files: what was rendered for the folder, and what is ejected in it, by name.
    """
    artifacts = folder / "artifacts"
    written: set[str] = set()
    jobs = []
    for stage in stages_of(spec):
        if not stage.runs:
            continue
        inputs = [artifacts / name for name in stage.reads(spec) if name in written]
        texts = _texts(spec, folder) if stage.name == "data" else []
        if stage.name == "data" or "dense" in stage.reads(spec):
            texts += _given(spec, folder)
        outputs = tuple(artifacts / name for name in stage.writes(spec))
        code = tuple(folder / name for name in code_of(files, stage.script))
        jobs.append(Job(stage, folder, code, (*inputs, *texts), outputs))
        written |= set(stage.writes(spec))
    return jobs


def code_of(files: Mapping[str, str], script: str) -> list[str]:
    """List a script, and the modules beside it that it imports, directly or not."""
    found = [script]
    for name in found:  # which grows on the way
        try:
            modules = sorted(imported_modules(files[name]))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            modules = []  # of an ejected file: it will say so when it runs
        beside = (f"{module}.py" for module in modules)
        found += [m for m in beside if m not in found and m in files]
    return found


def _texts(spec: Spec, folder: Path) -> list[Path]:
    """List the text files that data.py reads."""
    data = spec.data
    globs = (*data.path, *data.calibration, *data.test, *data.out_of_sample)
    return find_texts(folder.resolve().parent.parent, globs)


def _given(spec: Spec, folder: Path) -> list[Path]:
    """List the files of a given checkpoint that the scripts read."""
    if spec.model.checkpoint is None:
        return []
    place = folder.resolve().parent.parent / spec.model.checkpoint
    return sorted([*place.glob("*.safetensors"), *place.glob("tokenizer.json")])


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


def environment_of(files: Mapping[str, str], script: str) -> Locked:
    """Look up what the environment of a script holds."""
    return locked(needs_of(files[script]), torch_alone=TORCH_FILE in files)


def needs_of(script: str) -> list[str]:
    """Name the packages that a script's metadata lists."""
    return re.findall(r'(?m)^#     "([^"=]+)==', script)
