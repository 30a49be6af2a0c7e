"""The folder of a spec: one leangen at a time, kills lose nothing, nothing foreign runs."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen import cli
from leangen.generator import folder as guard
from leangen.generator.lock import digest
from leangen.generator.open import open_projects
from leangen.generator.project import Project, again, write_project
from leangen.generator.report.built import refused

Leangen = Callable[..., subprocess.CompletedProcess[str]]
SPEC = Path(__file__).parents[2] / "spec" / "starter.yaml"
COMMAND = [sys.executable, "-c", "from leangen.cli import main; main()"]
GATED = """
import os, sys, time
from leangen.generator import disk
replace = os.replace
def slowly(*arguments):
    time.sleep(0.02)
    replace(*arguments)
disk.os.replace = slowly
from leangen.cli import main
main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A project that was built from old.yaml; new.yaml has other stages and values."""
    root = tmp_path_factory.mktemp("project")
    text = SPEC.read_text()
    (root / "old.yaml").write_text(text)
    new = text.replace("weights: 4", "weights: 8").replace("tokens: 1M", "tokens: 2M")
    lines = [line for line in new.splitlines() if "recover:" not in line]
    (root / "new.yaml").write_text("\n".join(lines))
    assert leangen("build", "old.yaml", cwd=root).returncode == 0
    return root


@pytest.fixture
def root(project: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(project, tmp_path, dirs_exist_ok=True)


def built(root: Path) -> Path:
    return root / "generated" / "my-model"


def forked(act: Callable[[], object]) -> int:
    """Act in a process forked from this one, which may be killed; return its exit code."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            sys.stdout = sys.stderr = nowhere
            try:
                act()
            except SystemExit as ended:
                os._exit(int(ended.code or 0))
            except BaseException:  # noqa: BLE001 - what else the fork would go on with
                os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def call(root: Path, *arguments: str) -> int:
    """Call the command."""

    def act() -> None:
        os.chdir(root)
        sys.argv = ["leangen", *arguments]
        cli.main()

    return forked(act)


def build_beside(folder: Path, project: Project, start: Path) -> dict[str, bytes]:
    """Build a project where a folder was as another one is; return what it has then."""
    shutil.rmtree(folder)
    shutil.copytree(start, folder)
    now = again(project)
    assert refused([now], force=False) is None
    write_project(now, force=False)
    return files_in(folder)


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process die, as by kill -9, before it changes a file of the folder again."""
    left = iter(range(number))

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                os._exit(9)
            return original(*arguments, **options)

        return step

    reading, writing = Path.open, dying(Path.open)

    def opened(file: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        how = reading if mode in ("r", "rb") else writing
        return how(file, mode, *rest, **options)

    monkeypatch.setattr("os.replace", dying(os.replace))
    monkeypatch.setattr("pathlib.Path.open", opened)
    monkeypatch.setattr("os.unlink", dying(os.unlink))


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_whenever_a_build_is_killed_the_next_one_succeeds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the spec whose build was killed, and of the one before it."""
    folder, out = built(root), root / "generated"
    specs = [root / "old.yaml", root / "new.yaml"]
    old, new = (open_projects([spec], out)[0] for spec in specs)
    before = shutil.copytree(folder, root / "before")
    wanted = [build_beside(folder, project, before) for project in (old, new)]
    assert [call(root, "check", spec.name) for spec in specs] == [1, 0]
    for number in range(200):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        with monkeypatch.context() as patched:
            killed_at(patched, number)
            code = forked(lambda: write_project(again(new), force=False))
        assert code in (0, 9)
        left = shutil.copytree(folder, root / "left")
        for project, files in zip((old, new), wanted, strict=True):
            assert build_beside(folder, project, left) == files, f"killed at {number}"
        if code == 0:
            break
        shutil.rmtree(left)
    assert number > 10


def test_two_builds_at_once_leave_what_one_of_them_writes(root: Path) -> None:
    for _ in range(4):
        both = [
            subprocess.Popen(
                [sys.executable, "-c", GATED, "build", spec],
                cwd=root,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for spec in ("old.yaml", "new.yaml")
        ]
        errors = [process.communicate()[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], errors
        checks = [call(root, "check", spec) for spec in ("old.yaml", "new.yaml")]
        assert sorted(checks) == [0, 1]


def test_a_build_waits_and_then_names_the_folder(root: Path, leangen: Leangen) -> None:
    with guard.alone(built(root)):
        assert leangen("build", "old.yaml", cwd=root).returncode == 0  # nothing to do
        done = leangen("build", "new.yaml", cwd=root)
    assert done.returncode == 1
    assert "is at work in generated/my-model; wait for process" in done.stderr
    assert done.stderr.count("\n") == 1
    assert leangen("check", "old.yaml", cwd=root).returncode == 0


def test_a_killed_run_leaves_the_folder_to_its_script(
    root: Path, leangen: Leangen
) -> None:
    script = built(root) / "data.py"
    text = script.read_text()
    waiting = "import sys, time\nprint('up', flush=True)\ntime.sleep(600)\n"
    script.write_text(waiting)
    lock = built(root) / "leangen.lock"  # as if leangen had written that script
    old, new = (digest(t) for t in (text, waiting))
    lock.write_text(lock.read_text().replace(old, new))
    code = "from leangen.generator.run import run;"
    code += "run.refuse_unsound = lambda project: None;"
    process = subprocess.Popen(
        [sys.executable, "-c", code + COMMAND[-1], "run", "old.yaml"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    (child,) = children(process.pid)
    process.kill()
    process.wait()
    try:
        done = leangen("build", "old.yaml", cwd=root)
        assert done.returncode == 1
        assert "another leangen, or a script, is at work" in done.stderr
        assert f"wait for process {child}, or stop it" in done.stderr
    finally:
        os.kill(child, 9)
    end = time.monotonic() + 30
    while leangen("build", "old.yaml", cwd=root).returncode:
        assert time.monotonic() < end
    assert script.read_text() == text


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


FOREIGN = [
    "numpy.py",
    "json.pyc",
    "torch.cpython-311-x86_64-linux-gnu.so",
    "_json.abi3.so",
    "numpy/__init__.py",
    "waitress/server.py",
    "deep/er/module.so",
    "artifacts/__init__.py",
]


def test_what_a_script_would_import_and_is_not_ours_stops_every_verb(
    root: Path, leangen: Leangen
) -> None:
    for name in FOREIGN:
        file = built(root) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("print('pwned')")
    shown = {f"generated/my-model/{name.split('/')[0]}" for name in FOREIGN}
    codes = {"check": 1, "build": 3, "run": 1}
    for verb, code in codes.items():
        done = leangen(verb, "old.yaml", cwd=root)
        assert done.returncode == code, verb
        assert any(f"{file}: is not leangen's" in done.stderr for file in shown), verb
        assert "remove it, or move it to another folder" in done.stderr
    assert leangen("build", "--force", "old.yaml", cwd=root).returncode == 3
    document = json.loads(leangen("check", "old.yaml", "--json", cwd=root).stdout)
    changes = document["specs"][0]["changes"]
    assert {change["file"] for change in changes} == shown
    assert {change["state"] for change in changes} == {"foreign"}
    assert all((built(root) / name).exists() for name in FOREIGN)


@pytest.mark.parametrize("name", FOREIGN)
def test_one_file_that_is_not_ours_is_enough(root: Path, name: str) -> None:
    file = built(root) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("print('pwned')")
    assert call(root, "build", "old.yaml") == 3


def test_a_compiled_module_that_hides_its_source_is_foreign(
    root: Path, leangen: Leangen
) -> None:
    import py_compile

    source = built(root) / "model.py"
    hidden = built(root) / "__pycache__" / "model.cpython-311.pyc"
    py_compile.compile(str(source), str(hidden))
    assert leangen("check", "old.yaml", cwd=root).returncode == 0
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(hidden), invalidation_mode=mode)
    done = leangen("check", "old.yaml", cwd=root)
    assert done.returncode == 1
    assert "model.cpython-311.pyc: is not leangen's" in done.stderr


def test_what_nothing_imports_may_lie_there(root: Path, leangen: Leangen) -> None:
    (built(root) / "notes.txt").write_text("mine")
    (built(root) / "texts").mkdir()
    (built(root) / "texts" / "a.txt").write_text("mine")
    (built(root) / ".venv" / "lib").mkdir(parents=True)
    (built(root) / ".venv" / "lib" / "numpy.py").write_text("")
    assert leangen("check", "old.yaml", cwd=root).returncode == 0


@pytest.mark.parametrize("link", ["artifacts", "artifacts/dense", "artifacts/run.json"])
def test_links_are_not_written_through(
    root: Path, leangen: Leangen, tmp_path_factory: pytest.TempPathFactory, link: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.rmtree(built(root) / "artifacts")
    (built(root) / link).parent.mkdir(exist_ok=True)
    (built(root) / link).symlink_to(elsewhere)
    done = leangen("run", "old.yaml", cwd=root)
    assert done.returncode == 2
    assert f"generated/my-model/{link} is a symbolic link" in done.stderr
    assert "remove the link" in done.stderr
    if link == "artifacts":
        assert leangen("build", "new.yaml", cwd=root).returncode == 2
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o007])
def test_the_umask_says_who_may_read(root: Path, mask: int) -> None:
    shutil.rmtree(root / "generated")
    before = os.umask(mask)
    try:
        assert call(root, "build", "old.yaml") == 0
    finally:
        os.umask(before)
    for path in (root / "generated").rglob("*"):
        ordinary = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == ordinary & ~mask, path


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_names_the_file_and_changes_nothing(
    root: Path, leangen: Leangen
) -> None:
    disk = root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    try:
        done = leangen("build", "old.yaml", "--out", disk, cwd=root)
        left = [p for p in disk.rglob("*") if p.is_file() and p.name != guard.LOCK]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 74
    assert "No space left on device: '" in done.stderr
    assert f"{disk}/my-model/" in done.stderr
    assert ".partial" not in done.stderr
    assert left == []
