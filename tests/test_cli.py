"""The command as people and programs call it: exit codes, --json, and nothing lost."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Leangen = Callable[..., subprocess.CompletedProcess[str]]
SPEC = Path(__file__).parents[1] / "spec" / "starter.yaml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A folder with a spec that was built."""
    root = tmp_path_factory.mktemp("built")
    assert leangen("init", cwd=root).returncode == 0
    done = leangen("build", "spec.yaml", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(built, tmp_path, dirs_exist_ok=True)


def folder(project: Path) -> Path:
    return project / "generated" / "my-model"


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def snapshot(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_init_writes_a_spec_that_builds_and_never_overwrites(
    project: Path, leangen: Leangen
) -> None:
    assert (folder(project) / "train.py").exists()
    before = snapshot(project)
    done = leangen("init", cwd=project)
    assert done.returncode == 3
    assert "spec.yaml exists" in done.stderr
    assert snapshot(project) == before


def test_build_touches_only_what_changed(project: Path, leangen: Leangen) -> None:
    times = {p.name: p.stat().st_mtime_ns for p in folder(project).iterdir()}
    replace(project / "spec.yaml", "weights: 4", "weights: 8")
    done = leangen("build", "spec.yaml", cwd=project)
    assert done.returncode == 0
    touched = {
        p.name
        for p in folder(project).iterdir()
        if p.stat().st_mtime_ns != times[p.name]
    }
    assert touched == {"rounding.py", "leangen.lock", "plan.json"}
    assert "wrote generated/my-model/rounding.py" in done.stdout


def test_build_removes_what_the_spec_no_longer_says(
    project: Path, leangen: Leangen
) -> None:
    (folder(project) / "notes.txt").write_text("mine")
    text = (project / "spec.yaml").read_text()
    (project / "spec.yaml").write_text(
        "\n".join(line for line in text.splitlines() if "recover:" not in line)
    )
    assert leangen("build", "spec.yaml", cwd=project).returncode == 0
    assert not (folder(project) / "recover.py").exists()
    assert not (folder(project) / "requirements-recover.txt").exists()
    assert (folder(project) / "notes.txt").read_text() == "mine"


def test_an_edited_file_stops_the_build_and_force_overwrites_it(
    project: Path, leangen: Leangen
) -> None:
    script = folder(project) / "train.py"
    script.write_text(script.read_text() + "print('mine')\n")
    before = snapshot(project)
    done = leangen("build", "spec.yaml", cwd=project)
    assert done.returncode == 3
    assert "-print('mine')" in done.stdout
    assert "edited by hand" in done.stderr
    assert "--force" in done.stderr
    assert snapshot(project) == before
    assert leangen("check", "spec.yaml", cwd=project).returncode == 1
    assert leangen("build", "spec.yaml", "--force", cwd=project).returncode == 0
    assert "print('mine')" not in script.read_text()
    assert leangen("check", "spec.yaml", cwd=project).returncode == 0


def test_check_names_each_file_and_its_state(project: Path, leangen: Leangen) -> None:
    (folder(project) / "serve.py").unlink()
    with (folder(project) / "data.py").open("a") as file:
        file.write("# mine\n")
    replace(project / "spec.yaml", "tokens: 1M", "tokens: 2M")
    done = leangen("check", "spec.yaml", cwd=project)
    assert done.returncode == 1
    assert "generated/my-model/serve.py: missing" in done.stdout
    assert "generated/my-model/data.py: edited" in done.stdout
    assert "generated/my-model/train.py: outdated" in done.stdout


def test_diff_shows_figures_and_a_patch_that_git_applies(
    project: Path, leangen: Leangen
) -> None:
    replace(project / "spec.yaml", "weights: 4", "weights: 8")
    done = leangen("diff", "spec.yaml", cwd=project)
    assert done.returncode == 0
    assert done.stdout.startswith("# my-model: ")
    assert "-BITS = 4  # quantization.weights\n+BITS = 8" in done.stdout
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(
        ["git", "apply"], cwd=project, input=done.stdout, text=True, check=True
    )
    assert leangen("check", "spec.yaml", cwd=project).returncode == 0


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_the_lock_is_what_sha256sum_checks(project: Path) -> None:
    command = ["sha256sum", "-c", "--strict", "--quiet", "leangen.lock"]
    subprocess.run(command, cwd=folder(project), check=True)


def test_a_botched_merge_of_the_lock_loses_no_knowledge(
    project: Path, leangen: Leangen
) -> None:
    ours = (folder(project) / "leangen.lock").read_text()
    replace(project / "spec.yaml", "weights: 4", "weights: 8")
    assert leangen("build", "spec.yaml", cwd=project).returncode == 0
    theirs = (folder(project) / "leangen.lock").read_text()
    conflict = f"<<<<<<< ours\n{ours}=======\n{theirs}>>>>>>> theirs\n"
    conflict += f"{'0' * 64}  ../../spec.yaml\n{'0' * 64}  /etc/passwd\n"
    (folder(project) / "leangen.lock").write_text(conflict)
    replace(project / "spec.yaml", "weights: 8", "weights: 4")
    done = leangen("build", "spec.yaml", cwd=project)
    assert done.returncode == 0, done.stderr
    assert (folder(project) / "leangen.lock").read_text() == ours


def test_links_do_not_lead_out_of_the_folder(
    project: Path, leangen: Leangen, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "victim").write_text("precious")
    (folder(project) / ".train.py.partial").symlink_to(elsewhere / "victim")
    (folder(project) / "train.py").unlink()
    (folder(project) / "train.py").symlink_to(elsewhere / "victim")
    assert leangen("build", "spec.yaml", cwd=project).returncode == 3
    assert leangen("build", "spec.yaml", "--force", cwd=project).returncode == 0
    assert (elsewhere / "victim").read_text() == "precious"
    (project / "generated").rename(elsewhere / "generated")
    (project / "generated").mkdir()
    folder(project).symlink_to(elsewhere / "generated" / "my-model")
    assert leangen("build", "spec.yaml", cwd=project).returncode == 2


def test_what_is_no_regular_file_is_not_read(project: Path, leangen: Leangen) -> None:
    secret = project / "secret"
    secret.write_text("precious")
    (folder(project) / "serve.py").unlink()
    (folder(project) / "serve.py").symlink_to(secret)
    (folder(project) / "train.py").unlink()
    os.mkfifo(folder(project) / "train.py")
    (folder(project) / "data.py").write_bytes(b"\xff\xfe")
    done = leangen("diff", "spec.yaml", cwd=project)
    assert done.returncode == 0
    assert "precious" not in done.stdout
    done = leangen("check", "spec.yaml", cwd=project)
    assert done.stdout.count(": edited") == 3
    assert leangen("build", "spec.yaml", "--force", cwd=project).returncode == 0
    assert leangen("check", "spec.yaml", cwd=project).returncode == 0


def test_json_is_one_document_even_when_the_spec_is_wrong(
    project: Path, leangen: Leangen
) -> None:
    done = leangen("check", "spec.yaml", "--json", cwd=project)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "format_version": 1,
        "exit_code": 0,
        "diagnostics": [],
        "specs": [
            {
                "name": "my-model",
                "folder": "generated/my-model",
                "changes": [],
                "ejected": [],
            }
        ],
    }
    replace(project / "spec.yaml", "pattern: 2:4", "pattern: 2:5")
    done = leangen("build", "spec.yaml", "--json", cwd=project)
    assert done.returncode == 2
    (found,) = json.loads(done.stdout)["diagnostics"]
    assert found["path"] == "sparsity.pattern"
    assert found["suggestion"] == "2:4"
    assert found["line"] > 1
    assert done.stderr == ""


def test_all_errors_of_all_specs_come_at_once_and_nothing_is_written(
    tmp_path: Path, leangen: Leangen
) -> None:
    text = SPEC.read_text()
    (tmp_path / "good.yaml").write_text(text)
    (tmp_path / "one.yaml").write_text(
        text.replace("2:4", "2:5").replace("my-model", "My")
    )
    (tmp_path / "two.yaml").write_text(
        text.replace("hidden_size: 192", "hiden_size: 192")
    )
    done = leangen(
        "build", "good.yaml", "one.yaml", "two.yaml", "three.yaml", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.count("one.yaml:") == 2
    assert "two.yaml:9:3" in done.stderr
    assert "did you mean" in done.stderr
    assert "three.yaml" in done.stderr
    assert not (tmp_path / "generated").exists()


def test_two_specs_of_one_name_are_refused(tmp_path: Path, leangen: Leangen) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SPEC.read_text())
    done = leangen("build", "a.yaml", "b.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "b.yaml:5:7: name: another spec is named my-model" in done.stderr


def test_a_model_that_exceeds_its_budget_is_refused_with_the_figures(
    project: Path, leangen: Leangen
) -> None:
    replace(project / "spec.yaml", "vram_budget: 2GiB", "vram_budget: 100MiB")
    done = leangen("build", "spec.yaml", cwd=project)
    assert done.returncode == 2
    assert (
        "target.vram_budget: train does not fit x86-2core: runtime 315" in done.stderr
    )
    assert "it fits with" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["build"],
        ["bild", "spec.yaml"],
        ["build", "spec.yaml", "--frce"],
        ["run", "spec.yaml", "--from"],
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments: list[str], project: Path, leangen: Leangen
) -> None:
    done = leangen(*arguments, cwd=project)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, leangen: Leangen
) -> None:
    leangen("init", cwd=tmp_path)
    (tmp_path / "generated").write_text("a file where the folder should be")
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 74
    assert done.stderr.count("\n") == 1
    assert "generated" in done.stderr


@pytest.mark.parametrize("verb", ["check", "build", "diff", "run"])
@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_artifacts_that_are_no_folder_are_one_line_and_stay(
    verb: str, kind: str, project: Path, leangen: Leangen
) -> None:
    artifacts = folder(project) / "artifacts"
    shutil.rmtree(artifacts)
    if kind == "file":
        artifacts.write_text("mine")
    else:
        artifacts.symlink_to("nowhere")
    replace(project / "spec.yaml", "weights: 4", "weights: 8")
    before = snapshot(project)
    done = leangen(verb, "spec.yaml", cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: generated/my-model/artifacts is ")
    assert done.stderr.count("\n") == 1
    assert snapshot(project) == before


def test_a_full_disk_changes_nothing(project: Path, leangen: Leangen) -> None:
    replace(project / "spec.yaml", "weights: 4", "weights: 8")
    replace(project / "spec.yaml", "tokens: 1M", "tokens: 2M")
    before = snapshot(project)
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024));"
    code += "from leangen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "build", "spec.yaml"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert "File too large" in done.stderr
    assert snapshot(project) == before


def test_written_files_have_ordinary_permissions(project: Path) -> None:
    mode = stat.S_IMODE((folder(project) / "train.py").stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    assert mode == 0o666 & ~mask


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output_is_one_line(tmp_path: Path) -> None:
    code = "from leangen.cli import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "schema"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 74
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_no_arguments_are_a_call_for_help(tmp_path: Path, leangen: Leangen) -> None:
    done = leangen(cwd=tmp_path)
    assert done.returncode == 0
    assert "init" in done.stdout
    assert done.stdout.count("\n") > 5
    assert leangen("--version", cwd=tmp_path).stdout.startswith("leangen 0.")


def test_schema_is_what_editors_read(tmp_path: Path, leangen: Leangen) -> None:
    described = json.loads(leangen("schema", cwd=tmp_path).stdout)
    assert described["$schema"].startswith("http://json-schema.org/draft-07")
    assert "h200" in json.dumps(described["properties"]["target"])


def test_help_has_a_short_name(tmp_path: Path, leangen: Leangen) -> None:
    for arguments in ((), ("build",), ("run",)):
        short, long = (leangen(*arguments, x, cwd=tmp_path) for x in ("-h", "--help"))
        assert short.returncode == 0
        assert short.stdout == long.stdout


COMPLETIONS = {
    "bash": {"COMP_WORDS": "leangen check --o", "COMP_CWORD": "2"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "leangen check --o"},
    "fish": {
        "_TYPER_COMPLETE_ARGS": "leangen check --o",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_shells_complete_without_what_is_slow(tmp_path: Path, shell: str) -> None:
    """typer would import rich to write one line."""
    tool = tmp_path / "leangen"
    code = "import sys\nfrom leangen.cli import main\ntry:\n    main()\nfinally:\n"
    code += "    slow = {'rich', 'pydantic', 'jinja2', 'jsonschema'}\n"
    code += "    slow = {n for n in slow & set(sys.modules) if sys.modules[n]}\n"
    code += "    print('slow:', sorted(slow), file=sys.stderr)\n"
    tool.write_text(code)
    asked = {"_LEANGEN_COMPLETE": f"complete_{shell}"} | COMPLETIONS[shell]
    done = subprocess.run(
        [sys.executable, str(tool)],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--out" in done.stdout, done.stderr
    assert done.stderr == "slow: []\n"


def test_an_interrupt_while_modules_load_is_one_line(tmp_path: Path) -> None:
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from leangen.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted\n"


def test_an_interrupt_of_a_verb_is_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "spec.yaml"
    os.mkfifo(pipe)
    # What runs in the background of a shell ignores interrupts until told otherwise.
    code = "import signal as s; s.signal(s.SIGINT, s.default_int_handler);"
    code += "from leangen.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "plan", "spec.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe.open("w"):  # from here on it reads
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "error: interrupted\n")
    assert process.returncode == 130
