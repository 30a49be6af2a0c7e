"""`leangen audit`: what the imports of a stage cost, measured or as it was committed."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen.cli import main
from leangen.generator.audit.cost import committed, known_sizes, probe
from leangen.generator.audit.imports import reached, use_of
from leangen.generator.environments.locked import locked
from leangen.generator.environments.make import Python
from leangen.generator.render.requirements import pins
from leangen.spec import LeangenError
from leangen.spec.catalogue.rows import read_rows
from tests.conftest import TINY, built

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "spec" / "examples" / "demo.yaml"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run the command in this process; return its exit code and what it printed."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["leangen", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def test_each_stage_stands_beside_what_is_usual(command: Command) -> None:
    code, text, _ = command("audit", DEMO, "--offline", "--json", "--price", "0.40/h")
    (found,) = json.loads(text)["specs"]
    stages: dict[str, Any] = found["stages"]
    assert code == 0
    assert [*stages] == ["data", "train", "prune", "recover", "export"] + [
        "evaluate",
        "serve",
    ]
    sizes = committed()["packages"]
    assert stages["data"]["packages"] == 2
    assert stages["data"]["size"] == sizes["numpy==2.4.6"] + sizes["tokenizers==0.23.3"]
    for row in stages.values():
        assert row["imports"]["active"] == row["imports"]["total"] > 20
        usual = row["usual"][0]
        assert usual["size"] / row["size"] == row["ratio"] > 1
        assert usual["seconds"] > row["seconds"] > 0
        assert row["a_start"] == row["seconds"] / 3600 * 0.40
    (_, resolved) = stages["serve"]["usual"]  # of vLLM nothing is known but its wheels
    assert resolved["size"] is resolved["seconds"] is resolved["memory"] is None
    assert found["totals"]["product_of_ratios"] == pytest.approx(
        math.prod(row["ratio"] for row in stages.values())
    )
    assert found["totals"]["size"] == sum(row["size"] for row in stages.values())


def test_the_table_says_what_is_not_known(command: Command) -> None:
    code, text, _ = command("audit", DEMO, "--offline", "--price", "0.40/h")
    assert code == 0
    (vllm,) = [line.split() for line in text.splitlines() if "vLLM" in line]
    assert vllm == ["vLLM", "186", "(wheels)", "3,819.8", "-", "-"]
    assert "a cold start: import seconds / 3,600 x 0.4;" in text
    assert command("audit", DEMO, "--offline", "--price", "cheap")[0] == 2


def test_what_the_locks_pin_was_measured() -> None:
    """Else: python benchmarks/imports.py."""
    names = {pin.partition("==")[0] for pin in pins({*_packages()})}
    assert known_sizes(locked(sorted(names), torch_alone=True)) is not None
    stacks = read_rows("stacks.yaml")
    assert committed()["stacks"].keys() == stacks.keys()
    for name, row in stacks.items():
        assert ("wheels" in committed()["stacks"][name]) == ("resolved" in row)


def _packages() -> list[str]:
    lines = (ROOT / "templates" / "requirements.txt").read_text().splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line]


def test_cuda_was_not_measured_and_no_figure_is_shown(command: Command) -> None:
    _, text, _ = command("audit", ROOT / "spec/examples/h200.yaml", "--offline")
    (train,) = [line.split() for line in text.splitlines() if line.startswith("train")]
    assert train[2:] == ["-"] * 4


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """A bare Python with a package that takes 40 MB and a twentieth of a second."""
    place = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "numpy.py").write_text(
        "import time\nheld = b'x' * 40_000_000\ntime.sleep(0.05)\nprint('loud')\n"
    )
    described = packages / "numpy-2.4.6.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Name: Num_Py\nVersion: 2.4.6\n")
    (described / "RECORD").write_text("numpy.py,,\nnumpy.pyc,,\ngone.py,,\n")
    (packages / "numpy.pyc").write_bytes(bytes(100))
    return Python(place / "bin" / "python", os.environ)


def test_a_probe_tells_files_seconds_and_memory(python: Python) -> None:
    found = probe(python, [["import numpy"], ["import this"]])
    size = len(
        "import time\nheld = b'x' * 40_000_000\ntime.sleep(0.05)\nprint('loud')\n"
    )
    assert found.packages == {"num-py==2.4.6": size}  # no compiled module
    (numpy_seconds, numpy_bytes), (_, other_bytes) = found.loaded
    assert numpy_seconds >= 0.05
    assert numpy_bytes > 35_000_000 > other_bytes
    assert found.memory > numpy_bytes
    assert (found.cost.packages, found.cost.size) == (1, size)


def test_imports_that_fail_are_one_line(python: Python) -> None:
    with pytest.raises(LeangenError, match="No module named 'absent'"):
        probe(python, [["import absent"]])


def test_names_are_counted_and_modules_found_where_they_are_reached() -> None:
    files = {
        "a.py": "import os, sys\nimport numpy as np\nfrom b import go\n"
        "from torch import nn\ngo(sys, np, nn)\n",
        "b.py": "import torch\nfrom c import x\nfrom numpy.linalg import norm\n",
        "c.py": "import b, onnx\n",
    }
    assert use_of([files["a.py"]]) == (4, 5)  # os is idle
    assert list(reached(files, "a.py")) == [
        (2, "numpy"),
        (3, "torch"),
        (3, "onnx"),
        (3, "numpy.linalg"),
    ]


def test_a_script_has_its_costs_beside_its_imports(command: Command) -> None:
    code, text, _ = command("audit", DEMO, "--offline", "--annotate", "serve")
    script = (ROOT / "generated/demo/serve.py").read_text().splitlines()
    pairs = zip(script, text.splitlines(), strict=True)
    added = {old: new.removeprefix(old) for old, new in pairs if old != new}
    assert code == 0
    assert added == {
        "from api import Server": "  # 6 packages, 146.7 MB",
        "from listener import Listener": "  # 1 package, 0.2 MB",
    }
    code, _, errors = command("audit", DEMO, "--offline", "--annotate", "servant")
    assert code == 2
    assert "choose one of data, train, prune" in errors


@pytest.mark.parametrize(
    ("budget", "found"),
    [
        ("serve: {max_packages: 6, max_megabytes: 136}", ""),
        ("serve: {max_packages: 5}", "budget.serve.max_packages: it installs 6"),
        ("serve: {max_megabytes: 135}", "budget.serve.max_megabytes: it installs 135."),
        ("train: {max_packages: 1}", "budget.train.max_packages: it installs 11"),
    ],
)
def test_a_budget_is_a_gate_of_check_and_of_audit(
    budget: str, found: str, tmp_path: Path, command: Command
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"{TINY}budget: {{{budget}}}\n")
    built(spec)
    for verb in (["check"], ["audit", "--offline"]):
        code, _, errors = command(*verb, spec, "--out", tmp_path / "generated")
        assert code == (1 if found else 0), errors
        assert found in errors
    assert "budget" not in "".join(p.read_text() for p in spec.parent.rglob("*.py"))


def test_a_budget_of_no_stage_or_of_what_nobody_measured_is_not_kept(
    tmp_path: Path, command: Command
) -> None:
    spec = tmp_path / "spec.yaml"
    on_gpu = TINY.replace("train: {", "train: {hardware: h200, ")
    dense = "\n".join(x for x in on_gpu.splitlines() if "recover:" not in x)
    budgets = "budget: {recover: {max_packages: 9}, train: {max_packages: 9}}\n"
    spec.write_text(f"{dense}\n{budgets}")
    built(spec)
    code, _, errors = command("check", spec, "--out", tmp_path / "generated")
    assert code == 1
    assert "budget.recover: there is no such stage" in errors
    assert "budget.train: what it installs was not measured" in errors
