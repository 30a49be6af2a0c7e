"""What imports cost: as measured in an environment, or as it was committed."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from leangen.generator.environments.locked import Locked
from leangen.generator.environments.make import Python
from leangen.spec import LeangenError
from leangen.spec.catalogue.rows import read_rows

PROBE = Path(__file__).with_name("probe.py")
RUNS = 5  # of the imports; the first compiles and reads the disk, the fastest counts


@dataclass(frozen=True)
class Cost:
    """What the imports of a stage take; None: nobody measured it.

    size: bytes of the installed files. memory: resident bytes after the imports, Python's
    own included.
    """

    packages: int | None
    size: int | None
    seconds: float | None
    memory: int | None


@dataclass(frozen=True)
class Probed:
    """What a probe found: bytes by package, and seconds and bytes of each group."""

    packages: Mapping[str, int]
    loaded: Sequence[tuple[float, int]]
    memory: int

    @property
    def cost(self) -> Cost:
        """Sum it up."""
        seconds = sum(took for took, _ in self.loaded)
        size = sum(self.packages.values())
        return Cost(len(self.packages), size, seconds, self.memory)


def probe(python: Python, groups: Iterable[Sequence[str]]) -> Probed:
    """Import groups of statements in an environment, in a process of its own."""
    listed = json.dumps(list(groups))
    command = [str(python.program), "-I", str(PROBE), listed]
    runs = [_run(command, python.variables) for _ in range(RUNS)]
    fastest = min(runs, key=lambda run: sum(took for took, _ in run["loaded"]))
    loaded = [(took, added) for took, added in fastest["loaded"]]
    return Probed(fastest["packages"], loaded, fastest["memory"])


def _run(command: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LeangenError.of(
            f"the imports fail in {command[0]}: {done.stderr.strip()[-300:]}",
            remedy="remove that environment: the next call makes it anew",
            code="imports",
            exit_code=1,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@cache
def committed() -> Mapping[str, Any]:
    """Read what was measured of the pinned versions: `python -m leangen.generator.audit.record`."""
    return read_rows("import_costs.yaml")


def key_of(modules: Iterable[str]) -> str:
    """Name a set of modules as the file of what was measured does."""
    return ", ".join(sorted(modules))


def known_cost(wanted: Locked, modules: Iterable[str]) -> Cost:
    """Look up what was committed of these packages, in these versions, and modules."""
    sizes = known_sizes(wanted)
    if sizes is None:
        return cost_in({})
    taken = committed()["imports"].get(key_of(modules), {})
    return cost_in({"packages": len(sizes), "size": sum(sizes.values()), **taken})


def cost_in(row: Mapping[str, Any]) -> Cost:
    """Read a cost as it was committed."""
    return Cost(*(row.get(field.name) for field in fields(Cost)))


def known_sizes(wanted: Locked) -> Mapping[str, int] | None:
    """Give the committed bytes of each package; None where one was not measured."""
    measured = {
        pin.partition("==")[0]: (pin, size)
        for pin, size in committed()["packages"].items()
        if wanted.pins(pin)
    }
    if wanted.names - measured.keys():
        return None
    return {pin: size for pin, size in measured.values()}
