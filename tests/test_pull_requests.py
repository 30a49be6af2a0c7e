"""Pull requests: the Action's own script, what posts its text, and what init writes."""

import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from leangen.generator.report.github import annotations
from leangen.generator.repository import equip
from leangen.spec import Diagnostic, LeangenError
from tests.conftest import Leangen
from tests.test_against import COMMENT, CONFIG, SPEC, commit, edit, git

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "templates" / "github"
SOURCE = "octo/leangen@0123456789012345678901234567890123456789"
DEEP = """\
leangen: 1
name: deep
model: {checkpoint: ../model}
quantization: {weights: 8}
target: {hardware: x86-2core, context: 8k, vram_budget: 400MiB}
"""
pytestmark = pytest.mark.skipif(
    not (shutil.which("git") and shutil.which("bash")), reason="no git, or no bash"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A repository whose branch main has two specs, built."""
    root = tmp_path_factory.mktemp("base")
    for folder in ("specs", "model", "corpus"):
        (root / folder).mkdir()
    (root / "corpus" / "a.txt").write_text("some text\n")
    shape = {"num_hidden_layers": 48, "max_position_embeddings": 32_768}
    (root / "model" / "config.json").write_text(json.dumps(CONFIG | shape))
    (root / "specs" / "deep.yaml").write_text(DEEP)
    (root / "specs" / "tiny.yaml").write_text(SPEC.replace("corpus/", "../corpus/"))
    done = leangen("build", "specs/deep.yaml", "specs/tiny.yaml", cwd=root)
    assert done.returncode == 0, done.stderr
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(base, tmp_path / "work")


@dataclass(frozen=True)
class Reviewed:
    """What the Action left: its exit code, its log, and the comment's text."""

    code: int
    log: str
    text: str


def check_out(root: Path, branch: str) -> Path:
    """Commit what changed to a branch, and check its merge out as actions/checkout does.

    That has two commits and a detached HEAD; here all branches are there, too.
    """
    git(root, "switch", "--quiet", "--create", branch)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "a change")
    git(root, "switch", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-ff", branch)
    place = root.parent / "checkout"
    git(root, "init", "--quiet", "--initial-branch", "none", str(place))
    heads = "+refs/heads/*:refs/heads/*"
    git(place, "fetch", "--quiet", "--depth", "2", root.as_uri(), heads)
    git(place, "checkout", "--quiet", "--detach", "main")
    return place


def act(root: Path, branch: str = "topic", **inputs: str) -> Reviewed:
    """Run the Action's step where the pull request of a branch is checked out."""
    place = check_out(root, branch)
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {name: row["default"] for name, row in action["inputs"].items()} | inputs
    (step,) = (s for s in action["runs"]["steps"] if s.get("name") == "review")
    temp = root.parent / "temp"
    tool = temp / "leangen" / "bin" / "leangen"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!{sys.executable}\nfrom leangen.cli import main\nmain()\n")
    tool.chmod(0o755)
    values = {f"inputs.{name}": text for name, text in given.items()}
    values["github.event.pull_request.number"] = "7"
    env = {n: values[v.removeprefix("${{ ")[:-3]] for n, v in step["env"].items()}
    env |= {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(temp / "summary")}
    env |= {"GITHUB_HEAD_REF": branch, "GITHUB_BASE_REF": "main"}
    env |= {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_EVENT_NAME": "pull_request"}
    env |= {"GITHUB_WORKSPACE": str(place), "GITHUB_ACTION_PATH": str(ROOT)}
    (temp / "script").write_text(step["run"])
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", temp / "script"],
        cwd=place,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    folder, text = temp / "leangen-review", "no comment"
    if list(folder.iterdir()):
        text = (folder / "comment.md").read_text()
        assert (temp / "summary").read_text() == text
        assert (folder / "number").read_text() == "7\n"
        assert len(text.encode()) < COMMENT
    assert all(line.startswith("::") for line in done.stdout.splitlines())
    assert not done.stderr
    assert not [*root.parent.rglob("owned")]
    return Reviewed(done.returncode, done.stdout, text)


def build(leangen: Leangen, root: Path, name: str) -> None:
    done = leangen("build", f"specs/{name}.yaml", cwd=root)
    assert done.returncode == 0, done.stderr


def test_fewer_bits(root: Path, leangen: Leangen) -> None:
    edit(root, "weights: 8", "weights: 4", "specs/tiny.yaml")
    build(leangen, root, "tiny")
    found = act(root)
    assert (found.code, found.log) == (0, "")
    assert found.text.startswith("### `specs/tiny.yaml` against `HEAD^1` (")
    assert "-BITS = 8  # quantization.weights\n+BITS = 4" in found.text
    assert "| exported model | 153.5 KiB | 113.5 KiB |" in found.text
    assert "| serve | 83.3 MiB | 83.3 MiB |  | 6.00 GiB | yes | 0." in found.text
    assert "- **must run:** export: rounding.py, which it imports" in found.text
    assert "- **need not run:** data, train\n" in found.text
    assert found.text.count("### ") == 1
    assert "**not built:**" not in found.text


def test_a_context_over_the_budget(root: Path) -> None:
    edit(root, "context: 8k", "context: 32k", "specs/deep.yaml")
    found = act(root)
    assert found.code == 2
    lines = found.log.splitlines()
    place = "::error title=leangen over-budget,file=specs/deep.yaml,line=5,col=58::"
    assert all(line.startswith(place) for line in lines)
    assert "target.vram_budget: serve does not fit x86-2core: " in lines[-1]
    assert "; it fits with target.context: " in lines[-1]
    assert "| `target.context` | Longest prompt" in found.text
    assert "- **over the budget:** evaluate, serve\n" in found.text
    assert "- **smallest change that fits:** `target.context: 24k`\n" in found.text
    assert re.search(
        r"\| serve \| .* \| 400.0 MiB \| \*\*no\*\*, it did \|", found.text
    )
    assert "| `target.vram_budget: 512MiB` | evaluate | 487.4 MiB |  |\n" in found.text
    assert "left behind" not in found.text


def test_a_new_spec(root: Path, leangen: Leangen) -> None:
    text = (root / "specs" / "tiny.yaml").read_text()
    (root / "specs" / "new.yaml").write_text(text.replace("name: tiny", "name: new"))
    build(leangen, root, "new")
    found = act(root)
    assert (found.code, found.log) == (0, "")
    assert found.text.startswith("### `specs/new.yaml`")
    assert "**A new spec: " in found.text
    assert re.search(
        r"\| serve \| .* \| yes \| [\d.]+ to [\d.]+ ms a token \|", found.text
    )
    assert "- **must run:** data, train, export, evaluate, serve: new\n" in found.text


def test_nothing_is_silent(root: Path) -> None:
    edit(root, "leangen: 1\n", "# a comment\nleangen: 1\n", "specs/tiny.yaml")
    (root / "other.yaml").write_text("name: tiny\n")
    assert act(root) == Reviewed(0, "", "")


def test_scripts_that_are_not_what_the_spec_says(root: Path) -> None:
    edit(root, "weights: 8", "weights: 4", "specs/tiny.yaml")
    (root / "generated" / "deep" / "numpy.py").write_text("")
    with (root / "generated" / "deep" / "serve.py").open("a") as file:
        file.write("# by hand\n")
    found = act(root)
    assert found.code == 1
    places = re.findall(r"title=leangen ([a-z-]+),file=([^,:]+)", found.log)
    assert places == [
        ("foreign", "generated/deep/numpy.py"),
        ("edited", "generated/deep/serve.py"),
        ("not-built", "specs/tiny.yaml"),
    ]
    assert "- **edited by hand:** `generated/deep/serve.py`: change" in found.text
    assert "- **not leangen's:** `generated/deep/numpy.py`: " in found.text
    assert "`generated/tiny/rounding.py`: `leangen build specs/tiny.yaml`" in found.text


def test_specs_that_are_gone_or_cannot_be_read(root: Path) -> None:
    (root / "specs" / "deep.yaml").unlink()
    edit(root, "weights: 8", "weights: 7", "specs/tiny.yaml")
    shutil.copytree(root / "generated" / "tiny", root / "generated" / "other")
    found = act(root)
    assert found.code == 2
    assert "- **left behind:** `generated/deep`" in found.text
    assert "**This cannot be built:**\n\n```text\nspecs/tiny.yaml:12:25: " in found.text
    assert "### `generated/other`\n\n**changed, and there is no spec" in found.text
    assert "title=leangen value,file=specs/tiny.yaml,line=12,col=25" in found.log
    assert "title=leangen no-spec,file=generated/other" in found.log


def test_named_specs_alone_are_looked_at_and_share_the_room(root: Path) -> None:
    template = "a line of the template\n" * 6_000
    for number in range(2):
        text = DEEP.replace("name: deep", f"name: deep-{number}")
        (root / f"{number}.yaml").write_text(text.replace("../model", "model"))
    (root / "model" / "chat_template.jinja").write_text(template)
    commit(root)
    edit(root, "a line", "another line", "model/chat_template.jinja")
    edit(root, "weights: 8", "weights: 4", "specs/tiny.yaml")
    found = act(root, specs="\n".join(f"{number}.yaml" for number in range(2)))
    assert found.text.count("### `") == 2
    assert found.text.count("**Cut here: ") == 2


HOSTILE = "::warning::`touch owned`$(touch owned);|##[error]a, b%0A<b>@all\n### x"


def test_hostile_names_are_text_and_nothing_else(root: Path) -> None:
    text = SPEC.replace("weights: 8", "weights: 7")
    text = text.replace("name: tiny", 'name: "`touch owned`$(touch owned)<b>@all"')
    (root / "specs" / f"{HOSTILE}.yaml").write_text(text)
    ref = "ref;`id`|$(touch${IFS}owned)<script>"
    git(root, "branch", ref)
    found = act(root, branch=f"{ref}-topic", base=ref)
    assert found.code == 2
    named, line = found.log.splitlines()
    name = f"specs/{HOSTILE}.yaml".replace("%", "%25").replace("\n", "%0A")
    name = name.replace(":", "%3A").replace(",", "%2C")
    assert named.startswith(f"::error title=leangen value,file={name},line=2,col=7::")
    assert line.startswith(f"::error title=leangen value,file={name},line=12,col=25::")
    assert "\n### x" not in found.text
    assert found.text.startswith("### `` specs/::warning::`touch owned`$(touch")


def test_a_base_that_is_not_there_is_an_annotation(root: Path) -> None:
    found = act(root, base="--nope")
    assert (found.code, found.text) == (2, "no comment")
    assert found.log.startswith("::error title=leangen revision::git knows no revision")


def test_an_annotation_is_one_command() -> None:
    found = Diagnostic("a,b", "100%: x\r\ny", file="a:b,c%.yaml", line=3, column=4)
    assert annotations([found]) == (
        "::error title=leangen a%2Cb,file=a%3Ab%2Cc%25.yaml,line=3,col=4::100%25: x  y\n"
    )


def test_check_in_the_forms_of_programs(root: Path, leangen: Leangen) -> None:
    edit(root, "weights: 8", "weights: 7", "specs/tiny.yaml")
    arguments = ("check", "specs/tiny.yaml", "no such.yaml", "--output")
    done = leangen(*arguments, "github", cwd=root)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines()[1].startswith(
        "::error title=leangen unreadable,file=no such.yaml::cannot be read: No such"
    )
    done = leangen(*arguments, "sarif", cwd=root)
    assert (done.returncode, done.stderr) == (2, "")
    log = json.loads(done.stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    wrong, unread = run["results"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == [wrong["ruleId"], unread["ruleId"]]
    place = wrong["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "specs/tiny.yaml"},
        "region": {"startLine": 12, "startColumn": 25, "endColumn": 26},
    }
    assert wrong["message"]["text"].startswith("quantization.weights: 7")
    place = unread["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "no%20such.yaml"}}
    done = leangen("check", "--output=sarif", "--nope", cwd=root)
    (run,) = json.loads(done.stdout)["runs"]
    (told,) = run["invocations"]
    assert (done.returncode, run["results"]) == (2, [])
    assert not told["executionSuccessful"]
    assert "--nope" in told["toolExecutionNotifications"][0]["message"]["text"]


@dataclass
class GitHub:
    """The few answers of GitHub that the poster asks for, and what it was sent.

    files: the artifact's; head: what is at the pull request's head by now.
    """

    files: Mapping[str, bytes]
    head: str = "abc"
    comments: list[dict[str, Any]] = field(default_factory=list)
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def answer(self, path: str) -> Any:
        url = urlsplit(path)
        query = parse_qs(url.query)
        if url.path == "/repos/us/it/pulls":
            asked = query["head"] == ["stranger:a&b=c/#`id`"]
            return [{"number": 7, "head": {"sha": self.head}}] if asked else []
        if url.path == "/repos/us/it/issues/7/comments":
            start = (int(query["page"][0]) - 1) * 100
            return self.comments[start : start + 100]
        assert url.path == "/repos/us/it/actions/runs/5/artifacts"
        found = [{"id": 3}, {"id": 11}] if self.files else []
        return {"artifacts": found}

    def archive(self) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        return packed.getvalue()


@pytest.fixture
def serve() -> Iterator[Any]:
    """Start a stand-in of GitHub; gives its address."""
    servers = []

    def start(github: GitHub) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/store":
                    github.strangers.append(self.headers.get("Authorization", ""))
                    return self.give(github.archive())
                assert self.headers["Authorization"] == "Bearer secret"
                if self.path == "/repos/us/it/actions/artifacts/11/zip":
                    self.send_response(302)
                    self.send_header("Location", "/store")
                    return self.end_headers()
                self.give(json.dumps(github.answer(self.path)).encode())

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(content)["body"]
                github.sent.append((self.command, self.path, body))
                self.give(b"{}")

            do_PATCH = do_POST

            def give(self, content: bytes) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def post(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[GitHub], object]:
    """Run the script of the workflow that comments; gives what it ended with, None if well."""
    job = yaml.safe_load((TEMPLATES / "leangen-comment.yml").read_text())["jobs"]
    (step,) = job["comment"]["steps"]
    assert step["shell"] == "python"
    script = tmp_path / "post.py"
    script.write_text(step["run"])
    owner = {"login": "stranger"}
    run = {"id": 5, "head_sha": "abc", "head_branch": "a&b=c/#`id`"}
    run |= {"head_repository": {"owner": owner}, "html_url": "https://x/runs/5"}
    (tmp_path / "event").write_text(json.dumps({"workflow_run": run}))
    monkeypatch.setenv("GITHUB_REPOSITORY", "us/it")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("no_proxy", "*")

    def call(github: GitHub) -> object:
        monkeypatch.setenv("GITHUB_API_URL", serve(github))
        try:
            runpy.run_path(str(script))
        except SystemExit as end:
            return end.code
        return None

    return call


TEXT = "### `spec.yaml`\n${{ github.token }} $(id) `id` @all\n::warning::é\n"


def test_a_comment_is_written_once_and_then_kept_up_to_date(
    post: Callable[[GitHub], object],
) -> None:
    github = GitHub({"number": b"7\n", "comment.md": TEXT.encode()})
    assert post(github) is None
    ((method, path, body),) = github.sent
    assert (method, path) == ("POST", "/repos/us/it/issues/7/comments")
    assert body.startswith(f"<!-- leangen -->\n{TEXT}")
    assert "[a run](https://x/runs/5)" in body
    assert github.strangers == [""]  # the token stays with the API
    ghost = {"id": 1, "user": None, "body": body}
    forged = {"id": 2, "user": {"login": "stranger"}, "body": body}
    ours = {"id": 3, "user": {"login": "github-actions[bot]"}, "body": body}
    github.comments = [ghost] * 60 + [forged] * 60 + [ours]
    post(github)
    assert github.sent[1][:2] == ("PATCH", "/repos/us/it/issues/comments/3")
    github.files = {"number": b"7\n", "comment.md": b""}
    post(github)
    assert "Nothing that a spec says differs any more." in github.sent[2][2]
    github.comments = []
    post(github)
    assert len(github.sent) == 3


def test_what_the_action_left_is_posted_even_of_a_run_that_failed(
    root: Path, post: Callable[[GitHub], object]
) -> None:
    edit(root, "context: 8k", "context: 32k", "specs/deep.yaml")
    found = act(root)
    assert found.code == 2
    left = (root.parent / "temp" / "leangen-review").iterdir()
    github = GitHub({file.name: file.read_bytes() for file in left})
    assert post(github) is None
    ((_, _, body),) = github.sent
    assert body.startswith(f"<!-- leangen -->\n{found.text}")


@pytest.mark.parametrize(
    ("files", "head", "why"),
    [
        ({"number": b"7", "comment.md": b"x" * 64_513}, "abc", "more than 64512 bytes"),
        ({"number": b"7", "comment.md": os.urandom(200_000)}, "abc", "more than 1290"),
        ({"number": b"7" * 99, "comment.md": b"x"}, "abc", "more than 20 bytes"),
        ({"number": b"8", "comment.md": b"x"}, "abc", "the number is not that"),
        ({"number": b"7/../8", "comment.md": b"x"}, "abc", "the number is not that"),
        ({"number": b"7", "comment.md": b"x"}, "def", "None"),
        ({}, "abc", "None"),
    ],
    ids=["long", "large", "digits", "number", "path", "moved", "none"],
)
def test_what_is_not_as_it_should_be_is_not_posted(
    files: Mapping[str, bytes], head: str, why: str, post: Callable[[GitHub], object]
) -> None:
    github = GitHub(files, head)
    assert str(post(github)).startswith(why)
    assert github.sent == []


def test_workflows_have_no_more_rights_than_they_use() -> None:
    told = {}
    for file in sorted(TEMPLATES.iterdir()):
        flow = yaml.safe_load(file.read_text())
        assert flow["permissions"] == {}
        ((name, job),) = flow["jobs"].items()
        told[name] = job["permissions"]
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            pinned = r"OWNER/NAME@COMMIT|[a-z/-]+@[0-9a-f]{40}"
            assert re.fullmatch(pinned, step.get("uses", "OWNER/NAME@COMMIT"))
    assert told == {
        "comment": {"actions": "read", "pull-requests": "write"},
        "review": {"contents": "read"},
    }
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    assert not any("${{" in step.get("run", "") for step in steps)


def contents(root: Path) -> dict[str, str]:
    files = [*root.glob(".github/*/*"), *root.glob(".pre-commit*")]
    return {str(file.relative_to(root)): file.read_text() for file in files}


def test_init_writes_workflows_and_a_hook(
    root: Path, leangen: Leangen, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.spec.yml").write_text(SPEC)
    arguments = ("init", "--github", "--pre-commit", "--from", SOURCE)
    assert leangen(*arguments, cwd=root).returncode == 0
    written = contents(root)
    assert set(written) == {
        ".github/workflows/leangen.yml",
        ".github/workflows/leangen-comment.yml",
        ".pre-commit-config.yaml",
    }
    assert f"- uses: {SOURCE}\n" in written[".github/workflows/leangen.yml"]
    (repo,) = yaml.safe_load(written[".pre-commit-config.yaml"])["repos"]
    address, _, commit_id = SOURCE.partition("@")
    assert repo["repo"] == f"https://github.com/{address}"
    assert repo["rev"] == commit_id
    (hook,) = repo["hooks"]
    names = ("specs/x.yaml", "a.spec.yml", "b.yaml", "axspec.yml")
    taken = [name for name in names if re.search(hook["files"], name)]
    assert taken == ["specs/x.yaml", "a.spec.yml"]
    monkeypatch.chdir(root)
    answer = equip(SOURCE, github=True, hooks=True)
    assert (answer.exit_code, answer.text) == (0, "all of it is there already\n")
    answer = equip("octo/leangen@v2", github=True, hooks=True)
    assert answer.exit_code == 3
    differing = [found.file for found in answer.diagnostics]
    assert differing == [".github/workflows/leangen.yml", ".pre-commit-config.yaml"]
    assert contents(root) == written


@pytest.mark.parametrize(
    ("old", "indent"),
    [
        ("repos:\n- repo: local\n  hooks: []\n# the end", ""),
        ("fail_fast: true\nrepos:\n    -   repo: local\n        hooks: []\n", "    "),
        ("repos: [{repo: local, hooks: []}]\n", None),
        ("repos:\n- repo: local\n  hooks: []\nfail_fast: true\n", None),
        ("repos:\n- repo: x\n  hooks: [{id: leangen-check}]\n", None),
        ("repos: [\n", None),
        ("- a list\n", None),
    ],
    ids=["flush", "indented", "flow", "not last", "another", "broken", "list"],
)
def test_a_hook_is_added_or_nothing_is_written(
    old: str, indent: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".pre-commit-config.yaml").write_text(old)
    monkeypatch.chdir(tmp_path)
    answer = equip(SOURCE, github=True, hooks=True)
    found = contents(tmp_path)
    if indent is None:
        (wrong,) = answer.diagnostics
        assert answer.exit_code == 3
        assert answer.text.startswith("- repo: https://github.com/octo/leangen\n")
        assert wrong.suggestion == "add the lines above by hand"
        assert found == {".pre-commit-config.yaml": old}
    else:
        assert (answer.exit_code, len(found)) == (0, 3)
        new = found[".pre-commit-config.yaml"]
        assert new.startswith(f"{old.rstrip()}\n{indent}- repo: https://github.com/")


def test_where_it_lies_and_where_leangen_does_have_to_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeangenError, match="no top of a git repository"):
        equip(SOURCE, github=True, hooks=True)
    (tmp_path / ".git").mkdir()
    with pytest.raises(LeangenError, match="'x@y' is not OWNER/NAME@COMMIT"):
        equip("x@y", github=True, hooks=True)
    with pytest.raises(LeangenError, match="leangen was not installed from GitHub"):
        equip(None, github=True, hooks=True)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--github", "spec.yaml"], "--github and --pre-commit write no spec"),
        (["--from", SOURCE], "--from needs --github or --pre-commit"),
    ],
)
def test_a_wrong_call_of_init_is_one_line(
    arguments: list[str], why: str, tmp_path: Path, leangen: Leangen
) -> None:
    done = leangen("init", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: Invalid value: {why}\n"
    assert list(tmp_path.iterdir()) == []
