"""What became of the stages of a run, in words and in facts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from leangen.generator.run.jobs import Job

RUNS, MAY_RUN, SKIPPED = "would run", "may run", "would be skipped"


@dataclass(frozen=True)
class Ended:
    """What became of a stage (done, skipped, failed or would run), and why it ran."""

    stage: str
    outcome: str
    reason: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a spec's stages, in order, up to the first that failed."""

    name: str
    stages: Sequence[Ended]

    @property
    def exit_code(self) -> int:
        """Give the exit code of the stage that failed, 0 where none did."""
        return self.stages[-1].exit_code if self.stages else 0


def foresee(jobs: Iterable[Job], reason_of: Callable[[Job], str]) -> list[Ended]:
    """Tell what would run; `reason_of` says why a job would by itself, '' if it would not.

    What a stage will have written is not known before it ran: whoever reads it may run.
    """
    made: dict[object, str] = {}  # files, and the stage that would write them anew
    found = []
    for job in jobs:
        stage = job.stage.name
        outcome, reason = RUNS, reason_of(job)
        anew = next((made[file] for file in job.inputs if file in made), "")
        if not reason and anew:
            outcome, reason = MAY_RUN, f"where {anew} changes what it reads"
        if reason:
            made |= dict.fromkeys(job.outputs, stage)
        found.append(Ended(stage, outcome if reason else SKIPPED, reason))
    return found


def told(outcome: Outcome) -> str:
    """Write a line a stage: what became of it, and why."""
    lines = (
        f"{outcome.name}: {found.stage}: {found.outcome}"
        f"{f': {found.reason}' if found.reason else ''}\n"
        for found in outcome.stages
    )
    return "".join(lines)


def facts(outcome: Outcome) -> dict[str, Any]:
    """Describe for --json what became of each stage, and why it ran."""
    return {
        "name": outcome.name,
        "stages": {found.stage: found.outcome for found in outcome.stages},
        "reasons": {
            found.stage: found.reason for found in outcome.stages if found.reason
        },
    }
