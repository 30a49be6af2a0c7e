"""How long `leangen plan` takes as a whole process, in units of `python -c pass`.

    python benchmarks/plan_startup.py [SPEC]

The three commands take turns, so that a busy machine slows all of them alike.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
SPEC = Path(__file__).parents[1] / "spec" / "examples" / "demo.yaml"
LEANGEN = [sys.executable, "-c", "from leangen.cli import main; main()"]


def seconds(command: list[str]) -> float:
    """Time one process from start to end."""
    started = time.perf_counter()
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - started


def main() -> None:
    spec = sys.argv[1] if len(sys.argv) > 1 else str(SPEC)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "leangen plan": [*LEANGEN, "plan", spec],
        "leangen plan --fit": [*LEANGEN, "plan", "--fit", spec],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    unit = statistics.median(times["python -c pass"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:20} {median * 1e3:7.1f} ms  {median / unit:5.1f} x")


if __name__ == "__main__":
    main()
