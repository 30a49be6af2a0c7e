"""The command, in forks of one process that has it loaded: a start costs many times a call.

A line of JSON comes in for each call, and its exit code goes out.
"""

import io
import json
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from leangen import cli

ROOT = Path(__file__).parents[1]
EXAMPLES = [f"spec/examples/{name}.yaml" for name in ("demo", "smollm2")]
LOADING = [
    ["check", *EXAMPLES],
    ["diff", *EXAMPLES, "--against", "HEAD"],
    ["plan", EXAMPLES[0], "--fit", "--markdown"],
    ["explain", "sparsity.pattern", EXAMPLES[0]],
]


def load() -> None:
    """Run verbs once, so that forks find modules, schema and templates loaded."""
    os.chdir(ROOT)
    for arguments in LOADING:
        sys.argv = ["leangen", *arguments]
        with suppress(SystemExit), redirect_stdout(io.StringIO()):
            cli.main()


def become(asked: Mapping[str, Any]) -> None:
    """Make this process what was asked for: its folder, environment, streams and words."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    for number, file in enumerate(asked["streams"]):
        opened = os.open(file, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["leangen", *asked["arguments"]]


def answer() -> None:
    """Serve calls, one at a time, until there are no more."""
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            cli.main()  # ends the process
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    load()
    answer()
