"""`leangen sweep --on ray`: as on one machine, with two workers of a cluster on this one."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import TINY, write_texts
from tests.generator.test_sweep import (
    BITS,
    PATTERN,
    Sweep,
    edit,
    over,
    ran,
    root,
    states,
    sweep,
)

ray = pytest.importorskip("ray")
__all__ = ["root", "sweep"]  # fixtures
# What stands in for Python on one machine does so on others, with the same variables.
DRIVER = """
import os
from functools import partial
from pathlib import Path
from leangen.cli import main
from leangen.generator.environments.make import Python
from leangen.generator.sweep import cluster
if "STAND_IN" in os.environ:
    program = Path("python").resolve()
    cluster.python_there = lambda *_: partial(Python, program, dict(os.environ))
main()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers of one core each, and a head that runs no stages."""
    from ray.cluster_utils import Cluster

    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as place,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("TMPDIR", place)  # short, for the sockets in it
        made = Cluster()
        made.add_node(num_cpus=0, include_dashboard=False, object_store_memory=2**27)
        for _ in range(2):
            add_worker(made)
        yield made
        made.shutdown()


def add_worker(cluster: Any) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=2**27)
    cluster.wait_for_nodes()


@pytest.fixture(autouse=True)
def address(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in the folder of the test."""
    words = ["sweep", "spec.yaml", *arguments, "--on", "ray", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Give the exit code, and what was printed."""
    out, err = process.communicate(timeout=300)
    assert out, err
    return process.returncode, json.loads(out)


def on_ray(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    return ended(started(*arguments, **environment))


def timeless(found: Any) -> Any:
    """Leave out what depends on the clock."""
    if isinstance(found, dict):
        return {k: timeless(each) for k, each in found.items() if k != "seconds"}
    return list(map(timeless, found)) if isinstance(found, list) else found


def made(root: Path) -> dict[str, bytes]:
    """Read what the stages have made, by its place."""
    home = root / "sweeps/tiny"
    return {
        str(file.relative_to(home)): file.read_bytes()
        for file in home.glob("*/artifacts/**/*")
        if file.is_file() and file.suffix not in (".json", ".log", ".lock")
    }


def until_it_runs(root: Path, stages: int) -> None:
    """Wait until so many stages have started."""
    while sum(ran(root).values()) < stages:
        time.sleep(0.05)


def left_behind() -> set[Path]:
    """List the folders of stages on the machines."""
    return {*Path(os.environ["TMPDIR"]).glob("leangen-*")}


def test_the_report_is_that_of_one_machine(root: Path, sweep: Sweep) -> None:
    here = sweep(*over(PATTERN, BITS))
    files, stages = made(root), ran(root)
    (root / "sweeps").rename(root / "others")
    (root / "ran.txt").unlink()
    code, there = on_ray(*over(PATTERN, BITS))
    assert (code, timeless(there)) == (0, timeless(here[1]))
    assert made(root) == files
    assert ran(root) == stages
    written = json.loads((root / "sweeps/tiny/sweep.json").read_text())
    assert written["variants"] == there["variants"]
    assert sweep(*over(PATTERN, BITS)) == (
        0,
        there,
    )  # here or there: nothing runs twice
    assert ran(root) == stages


def test_a_stage_whose_worker_is_killed_runs_again(root: Path, sweep: Sweep) -> None:
    code, document = on_ray(*over(BITS), KILLED_AT="3", KILLED="before")
    assert code == 0
    assert ran(root)["prune"] == 2
    assert sum(ran(root).values()) == 9
    (root / "sweeps").rename(root / "others")
    assert timeless(sweep(*over(BITS))[1]) == timeless(document)


def test_a_variant_that_kills_its_workers_stops_no_other(root: Path) -> None:
    code, document = on_ray(*over(BITS), KILLS="4 export")
    assert code == 1
    assert states(document) == {"16": "done", "4": "failed"}
    why = "export: was lost 3 times: The worker died unexpectedly"
    assert document["variants"][1]["why"].startswith(why)
    assert ran(root)["export"] == 4
    assert on_ray(*over(BITS))[0] == 0


def test_a_stage_that_fails_is_shown_with_its_line(root: Path) -> None:
    code, document = on_ray(*over(BITS), FAILS="16 export")
    assert code == 1
    assert states(document) == {"16": "failed", "4": "done"}
    assert document["variants"][0]["why"] == "export: no luck"


def test_a_machine_that_is_lost_is_done_without(
    root: Path, sweep: Sweep, cluster: Any
) -> None:
    axes = over("sparsity.pattern=dense,2:4,4:8")
    running = started(*axes, SLEEPS="1")
    until_it_runs(root, 4)  # of three variants: both machines are at work
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    code, document = ended(running)
    add_worker(cluster)
    assert code == 0
    (root / "sweeps").rename(root / "others")
    assert timeless(sweep(*axes)[1]) == timeless(document)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_is_stopped_goes_on_and_ends_the_same(
    root: Path, sweep: Sweep, how: signal.Signals
) -> None:
    before = left_behind()
    running = started(*over(BITS), SLEEPS="2")
    until_it_runs(root, 3)
    running.send_signal(how)
    running.communicate(timeout=60)
    codes = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert running.returncode == codes[how]
    if how != signal.SIGKILL:
        assert left_behind() == before
    code, document = on_ray(*over(BITS))
    assert code == 0
    assert sum(ran(root).values()) == 9  # what was under way ran again, and no more
    (root / "sweeps").rename(root / "others")
    assert timeless(sweep(*over(BITS))[1]) == timeless(document)


def test_large_files_travel_in_pieces(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from leangen.generator.sweep.cluster import CHUNK, _chunks

    file = tmp_path / "file"
    for size in (0, 1, CHUNK, CHUNK + 1):
        file.write_bytes(bytes(size))
        pieces = list(_chunks(file))
        assert b"".join(pieces) == bytes(size)
        assert len(pieces) == max(1, -(-size // CHUNK))


def test_a_stage_takes_cores_by_jobs_and_what_measures_speed_a_machine() -> None:
    from leangen.generator.sweep.cluster import Cluster

    machines = [{"CPU": 8.0}, {"CPU": 18.0, "GPU": 2.0}, {"memory": 1.0}]
    found = Cluster(jobs=2, found=machines, looked=time.monotonic() + 60)
    assert found.asks("train", on_gpu=False) == {"num_cpus": 4, "num_gpus": 0}
    assert found.asks("train", on_gpu=True) == {"num_cpus": 9, "num_gpus": 1}
    assert found.asks("evaluate", on_gpu=False) == {"num_cpus": 18, "num_gpus": 0}
    assert found.slots == 6


def test_a_stage_that_waits_for_its_files_lends_its_cores_to_nobody(
    cluster: Any, tmp_path: Path
) -> None:
    from leangen.generator.sweep import cluster as module

    ray.init(cluster.address, logging_level="ERROR")
    try:
        late = ray.remote(num_cpus=0)(_late).remote(str(tmp_path / "now"))
        files = {"/home/stage.py": module.Content([late])}
        order = module.Order("/home", "stage", files, [], module._own_python)
        stages = [module._TASK.options(num_cpus=1).remote(order) for _ in range(2)]
        time.sleep(3)
        other = ray.remote(num_cpus=1)(_late).remote(str(tmp_path))
        assert not ray.wait([other], timeout=3)[0]
        (tmp_path / "now").touch()
        assert [ray.get(next(items)) for items in stages] == [0, 0]
        del stages
        assert ray.get(other, timeout=60)
    finally:
        ray.shutdown()


def _late(file: str) -> bytes:
    while not os.path.exists(file):
        time.sleep(0.1)
    return b"print('here')"


def test_what_no_machine_could_run_is_refused(root: Path) -> None:
    code, document = on_ray(*over("target.hardware=h200"))
    (found,) = document["diagnostics"]
    assert (code, found["code"]) == (2, "no-machine")
    assert found["message"] == "no machine of the Ray cluster has a GPU"


def test_paths_that_are_another_machines_are_refused(root: Path) -> None:
    edit(root, '"corpus/*.txt"', str(root / "corpus/*.txt"))
    code, document = on_ray(*over(BITS))
    (found,) = document["diagnostics"]
    assert (code, found["code"], found["path"]) == (2, "path", "data.path[0]")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_where_there_is_no_cluster_it_is_said_how_to_start_one(
    root: Path, address: str
) -> None:
    code, document = on_ray(*over(BITS), RAY_ADDRESS=address)
    (found,) = document["diagnostics"]
    assert (code, found["code"]) == (2, "no-cluster")
    assert "ray start --head" in found["suggestion"]


def test_an_environment_is_made_on_the_machine_that_needs_it() -> None:
    from leangen.generator.environments.make import python_of
    from leangen.generator.sweep.cluster import python_there

    batch = SimpleNamespace(isolated=True, project=SimpleNamespace(files={"a.py": ""}))
    job = SimpleNamespace(stage=SimpleNamespace(script="a.py"))
    found = ray.cloudpickle.loads(ray.cloudpickle.dumps(python_there(batch, job)))  # type: ignore[arg-type]
    assert found.func is python_of


def test_real_stages_give_what_they_give_on_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their own scripts, and texts that lie beside the spec."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_texts(tmp_path)
    text = TINY.replace("tokens: 20k", "tokens: 3k").replace(
        "tokens: 10k", "tokens: 3k"
    )
    (tmp_path / "spec.yaml").write_text(text.replace("tokens: 4k", "tokens: 1024"))
    code, there = on_ray(*over(BITS))
    assert code == 0, there
    words = [*over(BITS), "--json", "--out", "others"]
    command = [sys.executable, "-m", "leangen", "sweep", "spec.yaml", *words]
    here = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for one, other in zip(here["variants"], there["variants"], strict=True):
        for name in ("perplexity", "file_bytes", "beside_dense"):
            assert one["measured"][name] == other["measured"][name]
        assert [*one["stages"]] == [*other["stages"]]
        assert other["measured"]["decode_tokens_per_second"] > 0
