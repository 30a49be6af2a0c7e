"""From nothing to a first token: serve.py in its own environment, beside transformers.

    leangen run spec/examples/demo.yaml --isolated
    python benchmarks/cold_start.py spec/examples/demo.yaml CHECKPOINT FOLDER

CHECKPOINT is what transformers loads: for the demo, a folder with the files of
generated/demo/artifacts/recovered and the tokenizer.json above it. FOLDER gets two
environments: torch and transformers, for a script of a few lines, and what stacks.yaml names
for `transformers serve`; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu is torch
without CUDA. All answer the same prompt with one token. Each starts once before, which
compiles its modules; then they take turns, with their files out of the system's file cache,
and again with the files in it. Seconds are from the start of a process to its token, by the
clock and, with the files in the cache, of the processor, which hardly depends on what else
runs. Memory is the process's peak by then, shared libraries included. Linux alone tells.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from leangen.generator.audit.cost import probe
from leangen.generator.environments.make import Python, python_of
from leangen.generator.open import open_projects
from leangen.generator.run.jobs import environment_of
from leangen.spec.catalogue.rows import read_rows

ROOT = Path(__file__).parents[1]
ROUNDS = 3
MEGA = 1_000_000
DROPPED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # of the variables of a start
PROMPT = "The capital of France is"
GENERATE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
checkpoint, prompt = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(checkpoint)
model = AutoModelForCausalLM.from_pretrained(checkpoint)
tokens = tokenizer(prompt, return_tensors="pt")
answer = model.generate(**tokens, max_new_tokens=1, do_sample=False)
print(repr(tokenizer.decode(answer[0, -1])), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Start:
    """What a start took: seconds on the clock and of the processor, and peak megabytes."""

    clock: float
    processor: float
    peak: float


@dataclass(frozen=True)
class Way:
    """A way to answer a prompt: what is started, and which files that reads.

    model: what a request calls it, where it is a server; {port} in command is its port.
    """

    name: str
    python: Python
    command: Sequence[str]
    reads: Sequence[Path]
    model: str = ""


def ways(page: Path, checkpoint: Path, folder: Path) -> list[Way]:
    """List the ways, their environments made."""
    (project,) = open_projects([page], ROOT / "generated")
    artifacts = project.folder / "artifacts"
    lean = python_of(environment_of(project.files, "serve.py"))
    pins = read_rows("stacks.yaml")["transformers serve"]["packages"]
    script = installed(
        folder / "script", [pin.replace("[serving]", "") for pin in pins]
    )
    server = installed(folder / "server", pins)
    port = ["--port", "{port}"]
    return [
        Way(
            "leangen's serve.py",
            lean,
            [str(lean.program), str(project.folder / "serve.py"), *port],
            [lean.program.parents[1], artifacts / "onnx", artifacts / "tokenizer.json"],
            project.spec.name,
        ),
        Way(
            "a script with transformers",
            script,
            [str(script.program), "-c", GENERATE, str(checkpoint), PROMPT],
            [folder / "script", checkpoint],
        ),
        Way(
            "transformers serve",
            server,
            [str(folder / "server/bin/transformers"), "serve", str(checkpoint), *port],
            [folder / "server", checkpoint],
            str(checkpoint),
        ),
    ]


def installed(place: Path, packages: Sequence[str]) -> Python:
    """Make an environment with packages, where it is not."""
    python = Python(place / "bin" / "python", {**os.environ, "HF_HUB_OFFLINE": "1"})
    if not python.program.exists():
        bare = ["venv", "--without-pip", str(place)]
        subprocess.run([sys.executable, "-m", *bare], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python.program)]
        subprocess.run([*pip, "install", "-q", "--no-compile", *packages], check=True)
    return python


def drop(place: Path) -> None:
    """Take files that no process has mapped out of the system's file cache."""
    for file in [place, *place.rglob("*")]:
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def first_token(way: Way) -> tuple[str, Start]:
    """Start a process and wait for a token; give the token, and what that took."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [part.replace("{port}", port) for part in way.command]
    given = way.python.variables.items()
    variables = {name: value for name, value in given if name not in DROPPED}
    pipe = subprocess.PIPE
    begin = time.perf_counter()
    with subprocess.Popen(
        command, env=variables, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout
        token = ask(way, process, port) if way.model else process.stdout.readline()
        clock = time.perf_counter() - begin
        found = Start(clock, *used(process.pid))
        process.terminate()
    if not token:
        sys.exit(f"{way.name} gave no token")
    return token.strip(), found


def used(process: int) -> tuple[float, float]:
    """Read what a process has taken: seconds of the processor, and megabytes at its peak."""
    place = Path(f"/proc/{process}")
    times = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (place / "status").read_text())
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(map(int, times)) / ticks, int(peak) * 1024 / MEGA


def ask(way: Way, process: subprocess.Popen[str], port: str) -> str:
    """Ask a server for one token, as soon as it listens."""
    body = {"model": way.model, "prompt": PROMPT, "max_tokens": 1, "temperature": 0}
    request = Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    while process.poll() is None:
        try:
            with urlopen(request) as answer:
                return repr(json.load(answer)["choices"][0]["text"])
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.01)
    return ""


def main() -> None:
    page, checkpoint, folder = (Path(argument).absolute() for argument in sys.argv[1:])
    found = ways(page, checkpoint, folder)
    for way in found:
        print(way.name, first_token(way)[0], flush=True)
    os.sync()  # what was not written yet stays in the cache
    starts: dict[tuple[str, bool], list[Start]] = {}
    for _ in range(ROUNDS):
        for way in found:
            for place in way.reads:
                drop(place)
            for cached in (False, True):
                starts.setdefault((way.name, cached), []).append(first_token(way)[1])
    print("| | packages | MB | s, from disk | s, cached | processor s | peak MB |")
    for way in found:
        tell(way, starts[way.name, False], starts[way.name, True])


def tell(way: Way, cold: Sequence[Start], warm: Sequence[Start]) -> None:
    """Print a way's row, of the medians."""
    size = probe(way.python, [[]]).cost
    disk = statistics.median(start.clock for start in cold)
    cached = statistics.median(start.clock for start in warm)
    processor = statistics.median(start.processor for start in warm)
    peak = statistics.median(start.peak for start in warm)
    print(
        f"| {way.name} | {size.packages} | {(size.size or 0) / MEGA:.1f} | {disk:.2f} | "
        f"{cached:.2f} | {processor:.2f} | {peak:.0f} |"
    )


main()
