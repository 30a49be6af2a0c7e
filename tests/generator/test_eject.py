"""`leangen eject`: a file that is the author's from then on, whatever becomes of the spec."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from leangen.generator import lock
from leangen.generator.open import open_projects
from leangen.generator.project import write_project
from leangen.generator.render import build as rendering
from leangen.generator.render.script import render
from leangen.generator.report.built import built as told
from leangen.generator.report.built import refused
from leangen.generator.stages import STAGES
from leangen.spec.check.schema import field_at
from tests.conftest import Leangen
from tests.generator.test_folder import call
from tests.test_against import commit, git

PAGE = """\
# why this model
leangen: 1
name: tiny   # its folder
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 64
sparsity: {pattern: 2:4} # goes, in a test
target: {hardware: x86-2core, context: 64}
"""
FOLDER = Path("generated", "tiny")
MINE = "import surgery  # no script that leangen would write\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A project that was built, and whose prune.py was edited since."""
    root = tmp_path_factory.mktemp("project")
    (root / "spec.yaml").write_text(PAGE)
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    (root / FOLDER / "prune.py").write_text(MINE)
    return root


@pytest.fixture
def root(project: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(project, tmp_path / "root")


Say = Callable[..., str]


@pytest.fixture
def say(leangen: Leangen, root: Path) -> Say:
    """Call a verb of the spec; return all that it says, if it ends with the code."""

    def call(verb: str, *rest: str, code: int = 0) -> str:
        done = leangen(verb, "spec.yaml", *rest, cwd=root)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def page(root: Path) -> str:
    return (root / "spec.yaml").read_bytes().decode()


def rewrite(root: Path, old: str, new: str) -> None:
    assert old in page(root)
    (root / "spec.yaml").write_bytes(page(root).replace(old, new).encode())


def mine(root: Path) -> str:
    return (root / FOLDER / "prune.py").read_text()


def test_it_survives_builds_and_is_checked_run_and_shown(
    root: Path, say: Say, leangen: Leangen
) -> None:
    assert "or make it yours with leangen eject" in say("build", code=3)
    assert "prune.py: ejected, yours from now on\n" in say("eject", "prune")
    assert page(root) == f"{PAGE}ejected: [prune.py]\n"
    assert "  prune.py\n" not in (root / FOLDER / lock.NAME).read_text()
    for force in ([], [], ["--force"]):
        assert "prune.py: ejected, left as it is\n" in say("build", *force)
        assert mine(root) == MINE
    assert "generated/tiny: up to date" in say("check")
    assert "tiny: prune: would run" in say("run", "--dry-run")
    shown = say("diff").splitlines()
    assert "prune.py: ejected, left as it is; leangen would write:" in shown[1]
    assert all(line.startswith("#") for line in shown)  # a patch leaves it alone, too
    assert "# -import surgery  # no script that leangen would write" in shown
    explained = leangen("explain", f"{FOLDER}/prune.py:1", cwd=root).stdout
    assert "the file is ejected, and its author's: see leangen diff" in explained


def test_it_survives_a_leangen_that_writes_otherwise(
    root: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("eject", "prune.py")
    monkeypatch.chdir(root)
    monkeypatch.setattr(lock, "HEADER", lock.HEADER.replace("epoch ", "epoch 9"))
    monkeypatch.setattr(
        rendering, "render", lambda *found: f"{render(*found)}# of a later epoch\n"
    )
    (now,) = open_projects([Path("spec.yaml")], Path("generated"))
    assert refused([now], force=False) is None
    text = told([write_project(now, force=False)]).text
    assert f"{FOLDER}/prune.py: ejected, left as it is\n" in text
    assert f"wrote {FOLDER}/export.py\n" in text
    assert mine(root) == MINE


def test_it_stays_where_its_stage_goes_and_can_be_given_back(
    root: Path, say: Say
) -> None:
    say("eject", "prune")
    rewrite(root, "{pattern: 2:4}", "{pattern: dense}")
    assert "prune.py: ejected, no longer used, left there\n" in say("build")
    assert "prune.py: ejected, no longer used, left there\n" in say("diff")
    assert "prune" not in say("run", "--dry-run")
    assert mine(root) == MINE
    rewrite(root, "ejected: [prune.py]\n", "")
    assert "prune.py: is not leangen's" in say("build", code=3)
    rewrite(root, "{pattern: dense}", "{pattern: 2:4}")
    assert "prune.py: was edited by hand" in say("build", code=3)
    assert mine(root) == MINE
    say("build", "--force")
    assert mine(root) != MINE


def test_one_that_is_missing_is_an_error_with_the_way_out(root: Path, say: Say) -> None:
    say("eject", "prune")
    (root / FOLDER / "prune.py").unlink()
    for verb, code in (("check", 1), ("run", 1), ("build", 3)):
        said = say(verb, code=code)
        assert "spec.yaml:13:11: ejected[0]: generated/tiny/prune.py is ejected" in said
        assert "restore it, or delete its name from ejected" in said
        assert "up to date" not in said
    (root / FOLDER / "prune.py").symlink_to("export.py")
    assert "no file is there" in say("check", code=1)
    (root / FOLDER / "prune.py").unlink()
    rewrite(root, "ejected: [prune.py]\n", "")
    assert "wrote generated/tiny/prune.py\n" in say("build")


def test_one_that_is_no_python_is_its_authors_business(root: Path, say: Say) -> None:
    say("eject", "prune")
    for content in (b"import \0\xff", b"import a\n" + b"-" * 99_999 + b"1"):
        (root / FOLDER / "prune.py").write_bytes(content)
        assert "tiny: prune: would run" in say("run", "--dry-run")
    assert "up to date" in say("check")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "ejected: [export.py] # why\n",
            "ejected: [export.py, prune.py, data.py] # why\n",
        ),
        (
            "ejected: export.py # why\n",
            "ejected: [export.py, prune.py, data.py] # why\n",
        ),
        (
            "ejected: [\n  'export.py', # why\n]\n",
            "ejected: [\n  'export.py', prune.py, data.py, # why\n]\n",
        ),
        (
            "ejected:\n# my own\n  - export.py   # why\n\n# end\n",
            "ejected:\n# my own\n  - export.py   # why\n  - prune.py\n  - data.py\n\n# end\n",
        ),
        (
            'ejected:\r\n- "export.py"',
            'ejected:\r\n- "export.py"\r\n- prune.py\r\n- data.py\r\n',
        ),
        ("# the end", "# the end\nejected: [prune.py, data.py]\n"),
    ],
)
def test_the_page_keeps_its_comments_and_its_layout(
    before: str, after: str, root: Path, say: Say
) -> None:
    (root / "page.yaml").write_bytes(f"\ufeff{PAGE}{before}".encode())
    (root / "spec.yaml").unlink()
    (root / "page.yaml").chmod(0o600)
    (root / "spec.yaml").symlink_to("page.yaml")
    say("eject", "prune", "data.py", "prune.py")
    assert (root / "spec.yaml").is_symlink()
    assert (root / "page.yaml").stat().st_mode & 0o777 == 0o600
    assert page(root) == f"\ufeff{PAGE}{after}"


@pytest.mark.parametrize(
    "text",
    [
        f"{PAGE}...\n",
        json.dumps(yaml.safe_load(PAGE.replace("2:4", "'2:4'"))),
        f"{PAGE}ejected: ['export.\\\n  py']\n".replace("'", '"'),
    ],
)
def test_a_page_that_cannot_be_edited_stays_as_it_is(
    text: str, root: Path, say: Say
) -> None:
    (root / "spec.yaml").write_text(text)
    locked = (root / FOLDER / lock.NAME).read_bytes()
    said = say("eject", "prune", code=3)
    listed = "export.py, prune.py" if "export" in text else "prune.py"
    assert said.startswith(f"ejected: [{listed}]\n")
    assert "write the line above by hand, then leangen build" in said
    assert page(root) == text
    assert (root / FOLDER / lock.NAME).read_bytes() == locked


def test_what_is_no_file_of_the_folder_changes_nothing(root: Path, say: Say) -> None:
    say("eject", "data")
    (root / FOLDER / "train.py").unlink()
    before = page(root), (root / FOLDER / lock.NAME).read_bytes()
    unknown = ["../tiny/prune.py", "leangen.lock", "requirements-prune.txt"]
    unknown += ["/etc/passwd", "", "recover", "prune.py\nbudget: {}", "\x1b[31mprune"]
    names = ("prune", "prun", "train", "data", *unknown)
    said = say("eject", *names, code=2).splitlines()
    assert "'prun' is no script or module in generated/tiny; did you mean" in said[0]
    assert said[0].endswith("did you mean prune.py?")
    assert said[1].endswith("write it first: leangen build")
    assert said[2] == "error: data.py is ejected already"
    assert len(said) == 3 + len(unknown)
    assert all("is no script or module in generated/tiny" in line for line in said[3:])
    assert (page(root), (root / FOLDER / lock.NAME).read_bytes()) == before


def test_whenever_it_is_killed_page_and_lock_agree(
    root: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, replace = root / FOLDER / lock.NAME, os.replace
    before, pages = locked.read_bytes(), []
    for number in range(4):
        (root / "spec.yaml").write_text(PAGE)
        locked.write_bytes(before)
        left = iter(range(number))

        def dying(old: str, new: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                os._exit(9)
            replace(old, new)

        with monkeypatch.context() as patched:
            patched.setattr("os.replace", dying)
            code = call(root, "eject", "spec.yaml", "prune")
        pages.append(page(root))
        assert code == (0 if number == 3 else 9)
        assert page(root) != PAGE or locked.read_bytes() == before
    assert pages == 2 * [PAGE] + 2 * [f"{PAGE}ejected: [prune.py]\n"]
    assert b"  prune.py\n" not in locked.read_bytes()


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
def test_a_review_sees_the_author_s_own_text(root: Path, say: Say) -> None:
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    say("eject", "prune")
    shown = say("review", "--against", "main")
    assert "| `ejected` |" in shown and "\n-def prune(" in shown
    assert "**must run:** prune: its script changed" in shown
    commit(root)
    git(root, "tag", "later")
    assert say("review", "--against", "later") == ""
    (root / FOLDER / "prune.py").write_text(f"{MINE}more = 1\n")
    shown = say("review", "--against", "later")
    assert "**must run:** prune: its script changed" in shown
    assert "+more = 1" in shown and "edited by hand" not in shown
    assert "+more = 1" in say("diff", "--against", "later")
    assert "ejected" in say("plan", "--against", "later~1")
    (root / FOLDER / "prune.py").unlink()
    assert "- **ejected, and missing:** " in say("review", "--against", "later", code=1)


def test_every_file_of_a_folder_can_be_ejected() -> None:
    names = field_at(("ejected",))["items"]["enum"]
    assert names == sorted(stage.script for stage in STAGES)
