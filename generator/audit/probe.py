"""Run by an environment's Python, on the standard library alone: what is there, and costs.

    python -I probe.py STATEMENTS      # in JSON: groups of imports

Prints JSON: the bytes of each installed package, without compiled modules; the seconds
and the resident bytes that each group adds; and the resident bytes at the end.
"""

import json
import os
import resource
import sys
import time
from importlib.metadata import distributions


def resident() -> int:
    """Tell how much memory this process has in use, in bytes; on macOS, had at most."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def load(group: list[str]) -> list[float]:
    """Import a group; return the seconds and the bytes that it took."""
    before, start = resident(), time.perf_counter()
    for statement in group:
        exec(statement, {})  # noqa: S102 - leangen itself names the modules
    return [time.perf_counter() - start, resident() - before]


def installed() -> dict[str, int]:
    """Sum the files of each package: name==version -> bytes."""
    found = {}
    for package in distributions():
        places = (
            file.locate() for file in package.files or () if file.suffix != ".pyc"
        )
        name = package.metadata["Name"].lower().replace("_", "-")
        size = sum(os.stat(place).st_size for place in places if os.path.isfile(place))
        found[f"{name}=={package.version}"] = size
    return found


def main() -> None:
    loaded = [load(group) for group in json.loads(sys.argv[1])]
    memory = resident()
    print(json.dumps({"loaded": loaded, "memory": memory, "packages": installed()}))


main()
