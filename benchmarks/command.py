"""How long the command takes as a whole process, in units of `python -c pass`.

    python benchmarks/command.py [ROUNDS [SPECS]]

The commands take turns, so that a busy machine slows all of them alike. Of each stand the
least processor time, which hardly depends on what else runs, and the median on the clock.
Python's compiled modules are there, as after an installation. Last comes a repository of many
specs (1,000), and a pull request that changes one of them.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "spec" / "examples"
DEMO = (EXAMPLES / "demo.yaml").read_text(encoding="utf-8")
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
LEANGEN = [sys.executable, "-c", "from leangen.cli import main; main()"]


def clock(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a process to its end: seconds of processors, and on the clock."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    elapsed = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, elapsed


def write_specs(folder: Path, count: int) -> list[str]:
    """Write specs that differ in name, size, tokens and bits."""
    names = []
    for number in range(count):
        text = changed(DEMO, "name: demo", f"name: demo-{number}")
        text = changed(text, "tokens: 1900k", f"tokens: {1900 + number}k")
        text = changed(text, "hidden_layers: 3", f"hidden_layers: {2 + number % 5}")
        text = changed(text, "weights: 4", f"weights: {4 + number % 2 * 4}")
        names.append(f"demo-{number}.yaml")
        (folder / names[-1]).write_text(text, encoding="utf-8")
    return names


def changed(text: str, old: str, new: str) -> str:
    """Replace what is there once, and fail where it is not."""
    if text.count(old) != 1:
        raise ValueError(f"the demo does not have {old} once")
    return text.replace(old, new)


def commands(folder: Path) -> dict[str, list[str]]:
    """Name what is compared; the three specs are built and do not change."""
    specs = write_specs(folder, 3)
    clock([*LEANGEN, "build", *specs], folder)
    fresh = "import shutil; shutil.rmtree('fresh', ignore_errors=True);"
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "leangen --help": [*LEANGEN, "--help"],
        "plan": [*LEANGEN, "plan", specs[0]],
        "plan --fit": [*LEANGEN, "plan", "--fit", specs[0]],
        "build, all new": [*LEANGEN[:2], fresh + LEANGEN[2], "build", specs[0]]
        + ["--out", "fresh"],
        "build, no change": [*LEANGEN, "build", specs[0]],
        "check": [*LEANGEN, "check", specs[0]],
        "check of three": [*LEANGEN, "check", *specs],
    }


def compare(folder: Path, rounds: int) -> None:
    """Let the commands take turns, and print a line for each."""
    chosen = commands(folder)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for _ in range(rounds + 1):
        for name, command in chosen.items():
            times[name].append(clock(command, folder))
    units = 0.0, 0.0
    for name, (_, *found) in times.items():  # the first round compiles the modules
        used = min(used for used, _ in found)
        elapsed = statistics.median(elapsed for _, elapsed in found)
        units = units if units[0] else (used, elapsed)
        print(
            f"{name:18} processor {used * 1e3:7.1f} ms {used / units[0]:5.1f} x"
            f"   clock {elapsed * 1e3:7.1f} ms {elapsed / units[1]:5.1f} x",
            flush=True,
        )


def pull_request(folder: Path, count: int) -> None:
    """Build many specs, commit them, and change one: what a runner of a pull request does."""
    specs = write_specs(folder, count)
    tell(f"build of {count:,}, all new", [*LEANGEN, "build", *specs], folder)
    for command in ("init --quiet", "add .", "commit --quiet --message base"):
        subprocess.run([*GIT, *command.split()], cwd=folder, check=True)
    tell(f"check of {count:,} unchanged", [*LEANGEN, "check", *specs], folder)
    one = folder / specs[count // 2]
    text = one.read_text(encoding="utf-8")
    one.write_text(changed(text, "batch_size: 8", "batch_size: 4"), encoding="utf-8")
    tell(f"build of {count:,}, one changed", [*LEANGEN, "build", *specs], folder)
    review = [*LEANGEN, "review", "--against", "HEAD"]
    tell(f"review of one among {count:,}", review, folder)
    tell("review of it by name", [*review, one.name], folder)


def tell(what: str, command: list[str], folder: Path) -> None:
    """Run a command once, and print how long it took."""
    used, elapsed = clock(command, folder)
    print(f"{what}: processor {used:.1f} s, clock {elapsed:.1f} s", flush=True)


def main() -> None:
    rounds, specs = (*map(int, sys.argv[1:]), *(15, 1000)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), rounds)
    with tempfile.TemporaryDirectory() as folder:
        pull_request(Path(folder), specs)


if __name__ == "__main__":
    main()
