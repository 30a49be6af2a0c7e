"""Stages on this machine, each a process."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from leangen.generator.run.jobs import Job
from leangen.generator.run.run import Batch, Started, make_ready, python_for, start
from leangen.generator.sweep.course import ALONE, log_of


@dataclass(frozen=True)
class Here:
    """This machine, and how many stages may run on it at once."""

    slots: int

    def make_ready(self, batches: Sequence[Batch]) -> None:
        """See to it that each stage can start, before the first one does."""
        make_ready(batches)

    def has_room(self, stage: str, running: Sequence[str]) -> bool:
        """Tell whether a stage may start; speed is measured with nothing beside it."""
        if ALONE in (stage, *running):
            return not running
        return len(running) < self.slots

    def start(self, batch: Batch, job: Job, lock: int) -> Started:
        """Start a stage, with its output in a file."""
        with log_of(job).open("wb") as log:
            return start(
                job,
                lock,
                python_for(batch, job),
                stdout=log.fileno(),
                stderr=subprocess.STDOUT,
            )
