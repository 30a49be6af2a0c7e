"""What `leangen report` answers: the page of a sweep, or of a single run."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leangen.generator.report.answer import Answer
from leangen.generator.report.page.figures import read
from leangen.generator.report.page.run_figures import read_run
from leangen.generator.report.page.run_page import run_described, run_files
from leangen.generator.report.page.run_page import words as run_words
from leangen.generator.report.page.save import save
from leangen.generator.report.page.sweep_page import described, files
from leangen.generator.report.page.words import paragraphs
from leangen.spec import LeangenError, Spec

SWEEPS, GENERATED = Path("sweeps"), Path("generated")


def report(spec: Spec, out: Path | None) -> Answer:
    """Write the page of a spec: of its sweep, where there is one, or else of its run."""
    sweep = (out or SWEEPS) / spec.name / "sweep.json"
    if sweep.exists():
        return _of_sweep(sweep)
    return _of_run(spec.name, (out or GENERATED) / spec.name / "artifacts")


def _of_sweep(file: Path) -> Answer:
    with _undamaged(file):
        found = read(json.loads(file.read_text(encoding="utf-8")))
        told = paragraphs(found)
        written = files(found)
    text = "".join(
        f"{p.question}\n" + "".join(f"  {s}\n" for s in p.sentences) for p in told
    )
    return _saved(written, file.parent, text, described(found, told))


def _of_run(name: str, artifacts: Path) -> Answer:
    with _undamaged(artifacts):
        run = read_run(name, artifacts)
        told = list(run_words(run))
        written = run_files(run)
    if not (run.checkpoints or run.stages or run.losses):
        raise LeangenError.of(
            "nothing was measured yet",
            remedy="run the scripts first: leangen run",
            code="not-measured",
            file=str(artifacts),
            exit_code=1,
        )
    text = "".join(f"{sentence}\n" for sentence in told)
    return _saved(written, artifacts / "report", text, run_described(run, told))


def _saved(
    written: Mapping[str, str], folder: Path, text: str, facts: dict[str, Any]
) -> Answer:
    saved, missing = save(written, folder)
    listed = [str(file) for file in saved]
    note = f"{missing}\n" if missing else ""
    facts = {**facts, "files": listed}
    return Answer(f"{text}wrote {listed[0]}\n{note}", [facts], document=facts)


@contextmanager
def _undamaged(file: Path) -> Iterator[None]:
    """Say of what cannot be made sense of that it is damaged."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        IndexError,
        RecursionError,
    ):
        raise LeangenError.of(
            "is damaged", remedy="measure again", code="damaged", file=str(file)
        ) from None
