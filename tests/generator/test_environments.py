"""`leangen run --isolated`: an environment for each stage, whole or not there at all."""

import base64
import hashlib
import re
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from leangen.cli import main
from leangen.generator.environments import locked as locking
from leangen.generator.environments import make
from leangen.generator.environments.locked import locked
from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.generator.render.hashes import Entry
from leangen.generator.render.requirements import CPU_INDEX
from leangen.spec import load
from tests.conftest import TINY, built, write_texts

ROOT = Path(__file__).parents[2]
# What stands in for numpy says where it was imported from, and ends the stage.
STANDS_IN = "import os, sys\nprint(os.path.realpath(sys.prefix))\nsys.exit(7)\n"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wheel that stands in for numpy, the only place that pip looks."""
    record, files = (
        "",
        {
            "numpy/__init__.py": STANDS_IN,
            "numpy-2.4.6.dist-info/METADATA": "Metadata-Version: 2.1\nName: numpy\n"
            "Version: 2.4.6\n",
            "numpy-2.4.6.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
            "Root-Is-Purelib: true\nTag: py3-none-any\n",
        },
    )
    wheel = tmp_path / "wheels" / "numpy-2.4.6-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
            digest = hashlib.sha256(text.encode()).digest()
            encoded = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            record += f"{name},sha256={encoded},{len(text)}\n"
        archive.writestr("numpy-2.4.6.dist-info/RECORD", record)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", lambda name: None)  # pip, which tests have
    return wheel.parent


@pytest.fixture
def run(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run the first stage of a project, isolated; numpy's pin is that of the stand-in."""
    (wheel,) = wheels.iterdir()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pin_to(digest, monkeypatch)
    write_texts(tmp_path)
    (tmp_path / "spec.yaml").write_text(TINY)
    built(tmp_path / "spec.yaml")
    monkeypatch.chdir(tmp_path)
    command = ["leangen", "run", "spec.yaml", "--isolated", "--until", "data"]
    monkeypatch.setattr(sys, "argv", command)

    def call() -> int:
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


def pin_to(digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the lock have numpy alone, with this hash."""
    text = f"numpy==2.4.6 \\\n    --hash=sha256:{digest}\n"
    entry = Entry("numpy", text, frozenset())
    monkeypatch.setattr(locking, "closure", lambda *_, **__: [entry])


def environments(root: Path) -> list[Path]:
    """List what lies among the environments, locks left out."""
    found = (root / "cache/leangen/environments").iterdir()
    return [path for path in found if path.suffix != ".lock"]


def test_a_stage_imports_from_its_own_environment_alone(
    run: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "numpy.py").write_text("raise SystemExit(8)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    assert run() == 7
    (place,) = environments(tmp_path)
    shown = capfd.readouterr()
    assert shown.out == f"{place.resolve()}\n"
    assert f"making an environment with numpy, once: {place}\n" in shown.err
    assert run() == 7  # and nothing is made twice
    assert "making" not in capfd.readouterr().err


def test_an_installation_that_was_killed_is_made_anew(
    run: Callable[[], int], tmp_path: Path
) -> None:
    assert run() == 7
    (place,) = environments(tmp_path)
    (place / make.FINISHED).unlink()  # written last: the state of a kill just before
    (place / "bin" / "half").write_text("what a killed installer left")
    assert run() == 7
    assert not (place / "bin" / "half").exists()
    assert (place / make.FINISHED).exists()


def test_a_wheel_with_another_hash_is_one_line_and_leaves_nothing(
    run: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pin_to("0" * 64, monkeypatch)
    assert run() == 2
    assert environments(tmp_path) == []
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: no environment with numpy: the lines above say why")
    assert "run without --isolated" in last


def test_without_an_installer_the_remedy_is_named(
    run: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(make, "find_spec", lambda name: None)
    assert run() == 2
    assert "neither uv nor pip is here" in capfd.readouterr().err


def test_two_at_once_make_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def slowly(wanted: object, python: Path, lock: int) -> None:
        python.parent.mkdir(parents=True)
        python.touch()
        made.append(threading.current_thread())
        time.sleep(0.2)  # the other finds the place taken, and waits
        (python.parents[1] / make.FINISHED).touch()

    def ask() -> None:
        make.python_of(locked(["numpy"], torch_alone=True))

    monkeypatch.setattr(make, "_make", slowly)
    first, other = threading.Thread(target=ask), threading.Thread(target=ask)
    for thread in (first, other):
        thread.start()
    for thread in (first, other):
        thread.join()
    assert len(made) == 1


@pytest.mark.parametrize("index_answers", [True, False])
def test_torch_comes_from_its_own_index_or_else_with_cuda(
    index_answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed = []

    def call(command: Sequence[str], lock: int) -> bool:
        if "-r" not in command:
            return True
        alone = CPU_INDEX in command
        installed.append((alone, Path(command[-1]).read_text()))
        return index_answers or not alone

    wanted = locked(["numpy", "torch"], torch_alone=True)
    wanted.place.mkdir(parents=True)
    monkeypatch.setattr(make, "_call", call)
    assert make._install(wanted, ["pip"], 0)
    (first, torch), (second, others) = installed
    assert (first, second) == (True, False)
    assert "torch==2.13.0+cpu" in torch
    assert ("\ntorch==" in others, "\nnvidia-" in others) == (not index_answers,) * 2
    assert "\nnumpy==" in others


def test_uv_leaves_out_what_the_environments_leave_out() -> None:
    spec = load(ROOT / "spec/examples/demo.yaml", ROOT / "generated")
    files = build(spec, plan(spec))
    for name, excluded in (("serve.py", ["huggingface-hub"]), ("train.py", None)):
        block = re.search(r"(?s)# /// script\n(.*?)# ///", files[name])
        assert block
        header = tomllib.loads(re.sub("(?m)^# ?", "", block[1]))
        uv = header.get("tool", {}).get("uv", {})
        assert uv.get("exclude-dependencies") == excluded
        assert ("torch" in uv.get("sources", {})) == (name == "train.py")


def test_an_environment_is_known_by_what_it_holds() -> None:
    places = {
        locked(needs, torch_alone=alone).place
        for needs in (["numpy"], ["numpy", "torch"])
        for alone in (True, False)
    }
    assert len(places) == 3  # no torch, torch without CUDA, torch with it
    lean = locked(["numpy", "tokenizers"], torch_alone=True)
    assert lean.names == {"numpy", "tokenizers"}  # and no client of the Hub
