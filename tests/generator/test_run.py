"""`leangen run`: what changed runs, the rest does not, and failures are plain."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leangen.cli import main
from leangen.generator.folder import alone
from leangen.generator.run.jobs import Job, jobs_of
from leangen.generator.run.record import stale
from leangen.generator.run.run import execute
from leangen.spec import load

Leangen = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of a project in which everything ran."""
    return shutil.copytree(pipeline.parents[1], tmp_path / "project")


def run(leangen: Leangen, root: Path, *arguments: str) -> tuple[int, dict[str, str]]:
    done = leangen("run", "spec.yaml", "--json", *arguments, cwd=root)
    document = json.loads(done.stdout)
    stages = document["specs"][0]["stages"] if document["specs"] else {}
    return done.returncode, stages


ALL = ["data", "train", "prune", "recover", "export", "evaluate"]


def test_nothing_runs_twice(root: Path, leangen: Leangen) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1, 1))  # content counts, not time
    assert run(leangen, root) == (0, dict.fromkeys(ALL, "skipped"))


def test_an_edit_reruns_what_depends_on_it(root: Path, leangen: Leangen) -> None:
    text = (root / "spec.yaml").read_text().replace("weights: 4", "weights: 8")
    (root / "spec.yaml").write_text(text)
    assert run(leangen, root)[0] == 1  # not built yet
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    code, stages = run(leangen, root)
    assert code == 0
    assert stages == dict.fromkeys(ALL[:4], "skipped") | dict.fromkeys(ALL[4:], "done")


def test_a_changed_text_reruns_data(root: Path, leangen: Leangen) -> None:
    with (root / "other.txt").open("a") as file:
        file.write("more text from elsewhere")
    stages = run(leangen, root, "--until", "train")[1]
    assert stages == {"data": "done", "train": "skipped"}


def test_an_edit_while_a_stage_runs_is_not_lost(root: Path, leangen: Leangen) -> None:
    script = root / "generated/tiny/data.py"
    text = script.read_text()
    script.write_text(
        text.replace("def main() -> None:\n", "def main() -> None:\n    late()\n", 1)
    )
    late = "\n\ndef late() -> None:\n    other = PROJECT / 'other.txt'\n"
    late += "    other.write_text(other.read_text() + '.')\n"
    script.write_text(
        script.read_text().replace("\n\ndef main()", f"{late}\n\ndef main()")
    )
    job = jobs_in(root)[0]
    with alone(root / "generated/tiny") as lock:
        assert execute(job, stdout=2, lock=lock) == 0
    assert stale(job) == "its input ../../other.txt changed"


def jobs_in(root: Path) -> list[Job]:
    """List the jobs of what lies on the disk, edits included."""
    folder = root / "generated/tiny"
    scripts = {file.name: file.read_text() for file in folder.glob("*.py")}
    return jobs_of(load(root / "spec.yaml"), folder, scripts)


def edit(root: Path, leangen: Leangen, old: str, new: str) -> None:
    text = (root / "spec.yaml").read_text()
    assert old in text
    (root / "spec.yaml").write_text(text.replace(old, new))
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0


def reasons(leangen: Leangen, root: Path, *arguments: str) -> dict[str, str]:
    """Ask what would run, and why."""
    done = leangen("run", "spec.yaml", "--dry-run", "--json", *arguments, cwd=root)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)["specs"][0]["reasons"]
    return found


def test_an_attempt_that_was_broken_off_costs_no_rerun(
    root: Path, leangen: Leangen
) -> None:
    train = root / "generated/tiny/train.py"
    edit(root, leangen, "learning_rate: 1e-2", "learning_rate: 2e-2")
    code = "import subprocess, signal, time; from leangen.cli import main;"
    code += "subprocess.Popen.wait = lambda self, *a: self.kill() or -9; main()"
    command = [sys.executable, "-c", code, "run", "spec.yaml", "--from", "train"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert "tiny: train: was killed by SIGKILL" in done.stderr
    edit(root, leangen, "learning_rate: 2e-2", "learning_rate: 1e-2")
    assert "LEARNING_RATE = 0.01 " in train.read_text()
    assert run(leangen, root) == (0, dict.fromkeys(ALL, "skipped"))


def test_a_stage_that_outlives_leangen_is_not_run_again(
    root: Path, leangen: Leangen
) -> None:
    edit(root, leangen, "learning_rate: 1e-2", "learning_rate: 2e-2")
    main = "from leangen.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", main, "run", "spec.yaml", "--until", "train"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any("step" in line for line in process.stdout)
    process.kill()
    process.stdout.read()  # up to the end of the stage
    process.wait()
    until = ("--until", "prune")
    assert "train" not in reasons(leangen, root, *until)
    ended = {"data": "skipped", "train": "skipped", "prune": "done"}
    assert run(leangen, root, *until) == (0, ended)
    assert run(leangen, root, *until) == (0, dict.fromkeys(ended, "skipped"))


def test_a_dry_run_lists_what_would_run_and_starts_nothing(
    root: Path, leangen: Leangen
) -> None:
    edit(root, leangen, "tokens: 20k", "tokens: 21k")
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    done = leangen("run", "spec.yaml", "--dry-run", cwd=root)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "tiny: data: would be skipped",
        "tiny: train: would run: its script changed",
        "tiny: prune: may run: where train changes what it reads",
        "tiny: recover: may run: where prune changes what it reads",
        "tiny: export: may run: where recover changes what it reads",
        "tiny: evaluate: may run: where export changes what it reads",
    ]
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_each_reason_is_said(root: Path, leangen: Leangen) -> None:
    artifacts = root / "generated/tiny/artifacts"
    (artifacts / "sparse/model.safetensors").unlink()
    assert reasons(leangen, root, "--until", "prune") == {
        "prune": "its output artifacts/sparse/model.safetensors is missing"
    }
    with (artifacts / "data/train.npy").open("ab") as file:
        file.write(b"\0\0")
    assert reasons(leangen, root, "--until", "train") == {
        "data": "its output artifacts/data/train.npy is changed",
        "train": "its input artifacts/data/train.npy changed",
    }
    (root / "corpus" / "new.txt").write_text("more")
    (root / "corpus" / "argparse.txt").unlink()
    (artifacts / "data/train.npy").write_bytes(
        (artifacts / "data/val.npy").read_bytes()
    )
    assert reasons(leangen, root, "--from", "data", "--until", "data") == {
        "data": "asked for by --from"
    }
    (artifacts / "run.json").write_text("{")
    assert set(reasons(leangen, root).values()) == {"it never ran to its end here"}
    done = leangen("run", "spec.yaml", "--until", "data", cwd=root)
    line = "tiny: data: generated/tiny/data.py (it never ran to its end here)\n"
    assert done.stderr.startswith(line)


def would_rerun(root: Path) -> set[str]:
    jobs = jobs_in(root)
    return {job.stage.name for job in jobs if not job.stage.serves and stale(job)}


def test_what_a_stage_does_not_read_causes_no_rerun(
    root: Path, leangen: Leangen
) -> None:
    edit(root, leangen, "pattern: 2:4", "pattern: 2:4\n  method: magnitude")
    assert run(leangen, root)[0] == 0
    artifacts = root / "generated/tiny/artifacts"
    with (artifacts / "data/train.npy").open("ab") as file:
        file.write(b"\0\0")
    assert would_rerun(root) == {"data", "train", "recover"}  # magnitudes need no text
    shutil.copy(artifacts / "data/val.npy", artifacts / "data/out_of_sample.npy")
    with (artifacts / "dense/model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert "recover" in would_rerun(root)
    with (artifacts / "data/train.npy").open("rb+") as file:
        file.truncate((artifacts / "data/train.npy").stat().st_size - 2)
    # Nor does recovery need a teacher, which it would without distillation.
    assert would_rerun(root) == {"data", "train", "prune", "evaluate"}


def test_a_stage_runs_what_it_imports_and_what_that_imports(root: Path) -> None:
    folder = root / "generated/tiny"
    with (folder / "data.py").open("a") as script:
        script.write("\n\ndef later():\n    import one\n")
    (folder / "one.py").write_text("import json\nfrom two import number\n")
    (folder / "two.py").write_text("import one\nimport numpy\nnumber = 2\n")
    (folder / "numpy").mkdir()
    (folder / "three.py").write_text("")
    first = jobs_in(root)[0]
    names = [file.name for file in first.code]
    assert [name for name in names if name in ("one.py", "two.py", "three.py")] == [
        "one.py",
        "two.py",
    ]


def test_a_lost_output_is_made_again(root: Path, leangen: Leangen) -> None:
    (root / "generated/tiny/artifacts/onnx/model.onnx").unlink()
    stages = run(leangen, root)[1]
    assert stages["recover"] == "skipped"
    assert stages["export"] == "done"
    assert stages["evaluate"] == "skipped"  # the export gave the same bytes again


def test_from_and_until_choose_stages(root: Path, leangen: Leangen) -> None:
    assert run(leangen, root, "--from", "export", "--until", "export")[1] == {
        "export": "done"
    }
    done = leangen("run", "spec.yaml", "--from", "distill", cwd=root)
    assert done.returncode == 2
    assert "choose one of data, train" in done.stderr


def test_a_failing_stage_stops_the_run_with_its_exit_code(
    root: Path, leangen: Leangen
) -> None:
    shutil.rmtree(root / "generated/tiny/artifacts/recovered")
    done = leangen("run", "spec.yaml", "--from", "export", cwd=root)
    assert done.returncode == 1
    assert "recovered/config.json is missing: run recover.py first" in done.stderr
    assert "export: ended with exit code 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "evaluate:" not in done.stderr


def test_output_is_live_and_an_interrupt_is_one_line_of_leangen(
    root: Path, tmp_path: Path, leangen: Leangen
) -> None:
    root = shutil.copytree(root, tmp_path / "copy")
    spec = (root / "spec.yaml").read_text()
    (root / "spec.yaml").write_text(spec.replace("tokens: 20k", "tokens: 600k"))
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    # What runs in the background of a shell ignores interrupts until told otherwise.
    code = "import signal as s; s.signal(s.SIGINT, s.default_int_handler);"
    code += "from leangen.cli import main; main()"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            "run",
            "spec.yaml",
            "--from",
            "train",
            "--until",
            "train",
        ],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    shown = ""
    while "step " not in shown:  # while it runs
        shown += process.stdout.read(1)
        assert process.poll() is None, shown
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    last = "error: tiny: train was interrupted; the next leangen run goes on from there"
    assert errors.splitlines()[-1] == last


def test_a_terminated_run_takes_its_stage_with_it(root: Path) -> None:
    code = "from leangen.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "spec.yaml", "--from", "train"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.terminate()
    process.communicate()  # ends only when the stage has closed its output, too
    assert process.returncode == 143


def test_two_runs_at_once_are_refused(root: Path, leangen: Leangen) -> None:
    with alone(root / "generated/tiny"):
        done = leangen("run", "spec.yaml", cwd=root)
    assert done.returncode == 1
    assert "is at work in generated/tiny; wait for process" in done.stderr


def test_stages_in_the_wrong_order_are_refused(root: Path, leangen: Leangen) -> None:
    done = leangen("run", "spec.yaml", "--from", "export", "--until", "data", cwd=root)
    assert done.returncode == 2
    assert "data comes before export" in done.stderr


def test_a_package_that_is_missing_is_named_with_the_remedy(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(
        sys, "argv", ["leangen", "run", "spec.yaml", "--from", "export"]
    )
    monkeypatch.setattr("leangen.generator.run.run.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "this Python has no numpy, onnx;" in errors
    assert "pip install -r generated/tiny/requirements-export.txt" in errors
    assert "requirements-evaluate.txt" not in errors  # it would be skipped


def test_torch_is_named_with_its_own_index_first(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    arguments = ["leangen", "run", "spec.yaml", "--from", "train", "--until", "train"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr("leangen.generator.run.run.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main()
    folder = "generated/tiny/requirements"
    remedy = f"pip install --no-deps -r {folder}-torch.txt && pip install -r {folder}-"
    assert remedy + "train.txt" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["data", "train", "prune", "export", "evaluate"])
def test_a_full_disk_is_one_line_and_loses_nothing(root: Path, stage: str) -> None:
    folder = root / "generated" / "tiny"
    before = {
        p: p.read_bytes() for p in (folder / "artifacts").rglob("*") if p.is_file()
    }
    code = (
        "import resource, runpy, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    )
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
    code += f"runpy.run_path('{stage}.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"{stage}.py: ")
    assert done.stderr.count("\n") == 1
    for path, content in before.items():
        if path.name not in ("ledger.json", "run.lock"):  # its holder is noted first
            assert path.read_bytes() == content, path
