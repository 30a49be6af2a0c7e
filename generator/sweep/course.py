"""Variants on their way through their stages: what runs next, and what came of it."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from leangen.generator.folder import ARTIFACTS, alone
from leangen.generator.project import again
from leangen.generator.run.jobs import Job
from leangen.generator.run.record import adopt, read_by, stale
from leangen.generator.run.run import (
    Batch,
    Process,
    Started,
    refuse_unsound,
    settle,
)
from leangen.generator.sweep.share import key_of, take
from leangen.generator.sweep.variants import Variant

PAUSE = 0.05  # seconds between two looks at what runs
ALONE = "evaluate"  # a stage that measures speed: nothing runs beside it on its machine
DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(eq=False)  # one is no other, whatever it has come to
class Course:
    """A variant on its way.

    keys: by stage, what it is by content, as far as that is known.
    """

    variant: Variant
    batch: Batch
    keys: dict[str, str] = field(default_factory=dict)
    at: int = 0
    why: str = ""

    @property
    def state(self) -> str:
        """Say how far it is: done, failed, or waiting for its next stage."""
        if self.why:
            return FAILED
        return WAITING if self.at < len(self.batch.jobs) else DONE


@dataclass(frozen=True)
class Running:
    """A stage that runs in a variant's folder, which is held until it ends."""

    course: Course
    started: Started
    held: ExitStack


class Place(Protocol):
    """Where stages run: on this machine, or on several."""

    @property
    def slots(self) -> int:
        """Count the stages that run at once."""

    def make_ready(self, batches: Sequence[Batch]) -> None:
        """See to it that each stage can start, before the first one does."""

    def has_room(self, stage: str, running: Sequence[str]) -> bool:
        """Tell whether a stage may start, by its name and that of those that run."""

    def start(self, batch: Batch, job: Job, lock: int) -> Started:
        """Start a stage, with its output in a file: a sweep's own is a line a variant."""


@dataclass
class Sweep:
    """What has run, by content: the jobs that made it, why others failed, what runs."""

    courses: Sequence[Course]
    place: Place
    made: dict[str, Job] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)

    def resume(self) -> None:
        """Find what has run before, in folders that nobody has touched since."""
        for course in self.courses:
            with alone(course.batch.project.folder):
                refuse_unsound(again(course.batch.project))
                for job in course.batch.jobs:
                    adopt(job)
                self._pass(course)

    def look(self) -> None:
        """Find what has run before, and touch nothing."""
        for course in self.courses:
            if not course.batch.project.changes:
                self._pass(course)

    def _pass(self, course: Course) -> None:
        """Take a variant to the first stage that is to run."""
        for job in course.batch.jobs:
            if stale(job):
                return
            key = course.keys[job.stage.name] = key_of(job, read_by(job))
            self.made.setdefault(key, job)
            course.at += 1

    def run(self, ended: Callable[[Course], None]) -> None:
        """Run every stage that did not run yet; `ended` hears of each variant at its end."""
        told = {course for course in self.courses if course.state != WAITING}
        try:
            while True:
                for course in self.courses:
                    self._advance(course)
                    if course.state != WAITING and course not in told:
                        told.add(course)
                        ended(course)
                if not self.running:
                    return
                self._wait()
        except KeyboardInterrupt:  # which the stages have received, too
            self._stop(lambda process: None)
            raise
        except BaseException:
            self._stop(lambda process: process.terminate())
            raise

    def _advance(self, course: Course) -> None:
        """Take a variant as far as it comes without waiting, and start a stage if one may."""
        if course in (running.course for running in self.running.values()):
            return
        while course.state == WAITING:
            job = course.batch.jobs[course.at]
            with ExitStack() as held:
                lock = held.enter_context(alone(job.folder))
                read = read_by(job)
                key = course.keys[job.stage.name] = key_of(job, read)
                if not stale(job):
                    self.made.setdefault(key, job)
                elif key in self.made:
                    take(job, self.made[key], read)
                elif key in self.failed:
                    course.why = self.failed[key]
                    return
                else:
                    if key not in self.running and self._may_start(job):
                        started = self.place.start(course.batch, job, lock)
                        self.running[key] = Running(course, started, held.pop_all())
                    return
            course.at += 1

    def _may_start(self, job: Job) -> bool:
        names = [running.started.job.stage.name for running in self.running.values()]
        return self.place.has_room(job.stage.name, names)

    def _wait(self) -> None:
        """Wait until a stage ends, and note what came of it."""
        while True:
            for key, running in [*self.running.items()]:
                code = running.started.process.poll()
                if code is not None:
                    self._end(key, running, code)
                    return
            time.sleep(PAUSE)

    def _end(self, key: str, running: Running, code: int) -> None:
        job, course = running.started.job, running.course
        with running.held:
            settle(running.started, code)
        del self.running[key]
        if code == 0:
            self.made[key] = job
            course.at += 1
        else:
            self.failed[key] = course.why = _why(job, code)

    def _stop(self, end: Callable[[Process], None]) -> None:
        """Wait for what runs; what ended well counts when the sweep goes on."""
        for running in self.running.values():
            end(running.started.process)
        for running in self.running.values():
            running.started.process.wait()
            running.held.close()


def log_of(job: Job) -> Path:
    """Say where the output of a stage goes."""
    return job.folder / ARTIFACTS / f"{job.stage.name}.log"


def _why(job: Job, code: int) -> str:
    """Say in a line why a stage failed: its own last one, or what killed it."""
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        by = names.get(-code, f"signal {-code}")
        return f"{job.stage.name}: was killed by {by}"
    text = log_of(job).read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    said = lines[-1].removeprefix(f"{job.stage.script}: ") if lines else ""
    return f"{job.stage.name}: {said or f'ended with exit code {code}'}"
