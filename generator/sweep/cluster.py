"""Stages on the machines of a Ray cluster: what one reads goes there, what it makes comes back.

Machines need not share a disk. Content travels in chunks: what a stage reads through
Ray's object store, each content once for all who read it at a time, and what it makes as
the results of its task.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import ray
from ray.exceptions import RayError, RayTaskError

from leangen.generator.environments.make import HERE, Python, python_of
from leangen.generator.folder import ARTIFACTS
from leangen.generator.paths import FIELDS
from leangen.generator.run.jobs import Job, environment_of
from leangen.generator.run.record import digest, files_in, read_by
from leangen.generator.run.run import Batch, Started
from leangen.generator.sweep.course import ALONE, PAUSE, log_of
from leangen.generator.sweep.share import remove, replace
from leangen.spec import LeangenError, Spec, diagnostic_at

CHUNK = 64 * 2**20  # bytes of a file that travel at once
AHEAD = 2  # chunks that a machine sends before the first of them is written here
TRIES = 3  # of a stage whose worker, or machine, is lost
NEWS = 5.0  # seconds between two looks at which machines there are
PATIENCE = 10.0  # seconds for a head to answer, and for a stage to clean up behind it
TABLES = ("files.json", "ledger.json")  # what scripts note beside what they make
RECEIVED = ".received"  # under artifacts/: what has not come whole


class Content(list[Any]):
    """A file in Ray's object store: its chunks, kept while a stage that reads it runs."""


@dataclass(frozen=True)
class Order:
    """What another machine needs to run a stage.

    files: by the place that each has here; it has the same there, below another root.
    made: what comes back, from artifacts/. python: gives what runs it, on that machine.
    """

    folder: str
    stage: str
    files: Mapping[str, Content]
    made: Sequence[str]
    python: Callable[[], Python]


@contextmanager
def joined(jobs: int) -> Iterator["Cluster"]:
    """Join the cluster that runs here, or that RAY_ADDRESS names; what runs ends with us."""
    ending = signal.getsignal(signal.SIGTERM)
    with redirect_stdout(sys.stderr):  # where Ray is to say that a worker died
        try:
            _refuse_silence(os.environ.get("RAY_ADDRESS", ""))
            ray.init("auto", logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise LeangenError.of(
                f"no Ray cluster: {str(error).partition('. ')[0]}",
                remedy="run ray start --head here, or in RAY_ADDRESS name the head of a "
                "cluster that this machine is part of",
                code="no-cluster",
            ) from None
        signal.signal(signal.SIGTERM, ending)  # Ray has put its own in the place
        try:
            yield Cluster(jobs)
        finally:
            ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise OSError where nobody answers; Ray itself would ask for many minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit():
        place = (host.strip("[]"), int(port))
        socket.create_connection(place, timeout=PATIENCE).close()


@dataclass
class Cluster:
    """The machines of a Ray cluster; `jobs` stages run at once on the smallest."""

    jobs: int
    kept: WeakValueDictionary[str, Content] = field(default_factory=WeakValueDictionary)
    found: Sequence[Mapping[str, float]] = ()
    looked: float = -NEWS

    @property
    def slots(self) -> int:
        """Count the stages that run at once: with as many cores each, wherever they are."""
        cores = self.cores(on_gpu=False)
        return sum(each // self._share(cores) for each in cores)

    def make_ready(self, batches: Sequence[Batch]) -> None:
        """Refuse what no machine could run; their packages are their own."""
        for batch in batches:
            _refuse_far(batch.project.spec)
            for job in batch.jobs:
                self.asks(job.stage.name, _on_gpu(batch, job))

    def has_room(self, stage: str, running: Sequence[str]) -> bool:
        """Tell whether a stage may start: where, and beside what, is Ray's to find."""
        return len(running) < self.slots

    def start(self, batch: Batch, job: Job, lock: int) -> Started:
        """Send a stage to whichever machine has the cores for it, and the GPU."""
        read = read_by(job)
        order = Order(
            folder=str(job.folder.resolve()),
            stage=job.stage.name,
            files={_place(job, file): self._content(file) for file in _files(job)},
            made=[
                *(
                    p.relative_to(job.folder / ARTIFACTS).as_posix()
                    for p in job.outputs
                ),
                *TABLES,
            ],
            python=python_there(batch, job),
        )
        return Started(job, Remote(self, job, order, _on_gpu(batch, job)), read)

    def _content(self, file: Path) -> Content:
        """Put a file into the object store, if its content is not there."""
        name = digest(file)
        content = self.kept.get(name)
        if content is None:
            content = self.kept[name] = Content(map(ray.put, _chunks(file)))
        return content

    def asks(self, stage: str, on_gpu: bool) -> dict[str, int]:
        """Say what a stage takes of a machine.

        What measures speed takes all cores of the largest: nothing runs beside it, and
        all speeds are of one kind of machine.
        """
        cores = self.cores(on_gpu)
        share = max(cores) if stage == ALONE else self._share(cores)
        return {"num_cpus": share, "num_gpus": 1 if on_gpu else 0}

    def _share(self, cores: Sequence[int]) -> int:
        return max(1, min(cores) // self.jobs)

    def cores(self, on_gpu: bool) -> list[int]:
        """Count the cores of each machine that runs stages, as of a few seconds ago."""
        if time.monotonic() >= self.looked + NEWS:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            self.found, self.looked = [n["Resources"] for n in nodes], time.monotonic()
        machines = [m for m in self.found if not on_gpu or m.get("GPU", 0) >= 1]
        cores = [int(m["CPU"]) for m in machines if m.get("CPU", 0) >= 1]
        if not cores:
            raise LeangenError.of(
                f"no machine of the Ray cluster has {'a GPU' if on_gpu else 'cores'}",
                remedy="add one with ray start --address=HEAD; what ran stays",
                code="no-machine",
            )
        return cores


class Remote:
    """A stage on its way to another machine, there, or on its way back."""

    def __init__(self, cluster: Cluster, job: Job, order: Order, on_gpu: bool) -> None:
        self.cluster, self.job, self.order, self.on_gpu = cluster, job, order, on_gpu
        self.tries = TRIES
        self._submit()

    def _submit(self) -> None:
        self.asked = self.cluster.asks(self.order.stage, self.on_gpu)
        self.items = _TASK.options(**self.asked).remote(self.order)

    def poll(self) -> int | None:
        """Give its exit code when what it made is here, None until then.

        Where it was lost on the way it runs anew: Ray itself would send the rest of
        another attempt's bytes behind those that have come.
        """
        try:
            if ray.wait([self.items], timeout=0)[0]:
                return self._receive()
        except RayTaskError as error:  # of what runs there: its disk may be full
            return self._fail(str(error).strip().splitlines()[-1])
        except RayError as error:
            self.tries -= 1
            if not self.tries:
                said = str(error).partition(". ")[0]
                return self._fail(f"was lost {TRIES} times: {said}")
            self._submit()
        else:
            if self.asked["num_cpus"] > max(self.cluster.cores(self.on_gpu)):
                ray.cancel(self.items)  # it waits for a machine that is gone
                self._submit()
        return None

    def _receive(self) -> int:
        """Let what a stage made take its place when all of it has come."""
        code: int = ray.get(next(self.items))
        artifacts = self.job.folder / ARTIFACTS
        received = artifacts / RECEIVED
        remove(received)
        for item in self.items:
            name, chunk = ray.get(item)
            file = received / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as opened:
                opened.write(chunk)
        for name in (log_of(self.job).name, *self.order.made):
            if (received / name).exists():
                (artifacts / name).parent.mkdir(parents=True, exist_ok=True)
                replace(received / name, artifacts / name)
        remove(received)
        return code

    def _fail(self, why: str) -> int:
        log_of(self.job).write_text(f"{why}\n", encoding="utf-8")
        return 1

    def terminate(self) -> None:
        """Leave it to wait, which is called next: a second blow would hit the cleaning."""

    def wait(self) -> int:
        """End it, since Ctrl-C reaches stages here alone; its machine is left clean."""
        ray.cancel(self.items)
        ray.wait([self.items.completed()], timeout=PATIENCE)
        return 1


def python_there(batch: Batch, job: Job) -> Callable[[], Python]:
    """Say how another machine finds the Python for a stage: Ray's, or one it makes."""
    if not batch.isolated:
        return _own_python
    return partial(python_of, environment_of(batch.project.files, job.stage.script))


def _own_python() -> Python:
    return HERE


def _on_gpu(batch: Batch, job: Job) -> bool:
    return batch.project.plan.stages[job.stage.name].place.device == "cuda"


def _refuse_far(spec: Spec) -> None:
    """Stop where scripts would look for what another machine has there, or has not."""
    globs = {
        f"data.{name}[{number}]": glob
        for name in FIELDS
        for number, glob in enumerate(getattr(spec.data, name))
    }
    for name, glob in (globs | {"model.checkpoint": spec.model.checkpoint}).items():
        if glob and glob.startswith("/"):
            found = diagnostic_at(
                spec,
                name,
                code="path",
                message="starts at /, where every machine of a cluster has files of its "
                "own",
                suggestion="write a path from the spec, such as one through a link "
                "beside it",
            )
            raise LeangenError([found])


def _files(job: Job) -> Iterator[Path]:
    """List what a stage reads, and what it looks at besides."""
    names = ("plan.json", f"requirements-{job.stage.name}.txt")
    tables = [job.folder / ARTIFACTS / name for name in TABLES]
    beside = [*(job.folder / name for name in names), *tables]
    return files_in((*job.code, *job.inputs, *beside))


def _place(job: Job, file: Path) -> str:
    """Say where a file is, whichever links lead to the folder."""
    if job.folder in file.parents:
        return str(job.folder.resolve() / file.relative_to(job.folder))
    return os.path.normpath(file)


def _chunks(file: Path) -> Iterator[bytes]:
    """Read a file piece by piece; an empty one is an empty piece."""
    with file.open("rb") as opened:
        chunk = opened.read(CHUNK)
        yield chunk
        while chunk := opened.read(CHUNK):
            yield chunk


def _run(order: Order) -> Iterator[Any]:
    """Run a stage on this machine: its exit code, then what it made, piece by piece."""
    with tempfile.TemporaryDirectory(prefix="leangen-") as root:
        # In a thread, since Ray lends a task's cores to others while its own one waits.
        with ThreadPoolExecutor(1) as threads:
            threads.submit(_lay, order, root).result()
        artifacts = Path(f"{root}{order.folder}", ARTIFACTS)
        log = artifacts / f"{order.stage}.log"
        code = _execute(order, log)
        yield code
        places = [artifacts / name for name in order.made] if code == 0 else []
        for file in files_in([log, *places]):
            for chunk in _chunks(file):
                yield file.relative_to(artifacts).as_posix(), chunk


def _lay(order: Order, root: str) -> None:
    """Write what a stage reads where it is to find it."""
    for place, content in order.files.items():
        file = Path(f"{root}{place}")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            for chunk in content:
                opened.write(ray.get(chunk))


def _execute(order: Order, log: Path) -> int:
    """Run a stage's script, its output in a file; return its exit code."""
    python = order.python()
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [str(python.program), f"{order.stage}.py"],
            cwd=log.parents[1],
            env=python.variables,
            stdout=opened,
            stderr=subprocess.STDOUT,
        )
    try:
        while process.poll() is None:
            time.sleep(PAUSE)  # which Ray can interrupt
    finally:
        process.kill()
        code = process.wait()
    return code


_TASK = ray.remote(
    num_returns="streaming", max_retries=0, _generator_backpressure_num_objects=AHEAD
)(_run)
