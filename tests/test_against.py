"""`leangen diff` and `leangen plan` --against a revision, in repositories of their own."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Leangen

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
SPEC = """\
leangen: 1
name: tiny
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 32k
data: {source: text, path: "corpus/*.txt"}
train: {tokens: 60k, batch_size: 1, learning_rate: 1e-2}
quantization: {weights: 8, group_size: 16}
target: {hardware: x86-2core, context: 8k}
"""
GIVEN = """\
leangen: 1
name: given
model: {checkpoint: model}
quantization: {weights: 8}
target: {hardware: x86-2core, context: 128}
"""
CONFIG = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "eos_token_id": 2,
}
HOSTILE = "a `b` | <script>alert(1)</script> @all\n## x.yaml"
COMMENT = 65_536  # characters that GitHub takes


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "as it was")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose branch main has a spec and its text."""
    root = tmp_path / "work"
    (root / "corpus").mkdir(parents=True)
    (root / "corpus" / "a.txt").write_text("some text\n")
    (root / "spec.yaml").write_text(SPEC)
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


def edit(root: Path, old: str, new: str, name: str = "spec.yaml") -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def facts(leangen: Leangen, root: Path, name: str = "spec.yaml") -> dict[str, Any]:
    done = leangen("plan", name, "--against", "main", "--json", cwd=root)
    assert not done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["against"]
    return found


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    return {row["stage"]: row["outcome"] for row in found["runs"]}


def markdown(leangen: Leangen, root: Path, name: str = "spec.yaml") -> str:
    done = leangen("plan", name, "--against", "main", "--markdown", cwd=root)
    assert done.returncode in (0, 2), done.stderr
    assert len(done.stdout) < COMMENT
    return done.stdout


def test_fewer_bits_in_every_form(root: Path, leangen: Leangen) -> None:
    edit(root, "weights: 8", "weights: 4")
    told = leangen("plan", "spec.yaml", "--against", "main", cwd=root)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"quantization.weights +8 -> 4\n", told.stdout)
    assert "must run     export: rounding.py, which it imports, changed" in told.stdout
    assert "need not run data, train\n" in told.stdout
    page = markdown(leangen, root)
    assert "| `quantization.weights` | Bits of the decoder's matrices" in page
    assert "- **may run:** evaluate, serve: where export changes" in page
    assert "-BITS = 8  # quantization.weights\n+BITS = 4" in page
    found = facts(leangen, root)
    (field,) = found["fields"]
    assert (field["path"], field["before"], field["after"]) == (
        "quantization.weights",
        8,
        4,
    )
    model = found["model"]
    assert model["before"]["exported_bytes"] > model["after"]["exported_bytes"]
    assert list(found["stages"]) == ["serve"]
    assert {Path(row["file"]).name for row in found["files"]} == {
        "leangen.lock",
        "plan.json",
        "rounding.py",
    }
    assert found["commit"] == git(root, "rev-parse", "main").strip()


def test_the_figures_are_those_of_the_plans(root: Path, leangen: Leangen) -> None:
    before = json.loads(leangen("plan", "spec.yaml", "--json", cwd=root).stdout)
    edit(root, "weights: 8", "weights: 4")
    after = json.loads(leangen("plan", "spec.yaml", "--json", cwd=root).stdout)
    serve = facts(leangen, root)["stages"]["serve"]
    for when, plan in (("before", before), ("after", after)):
        planned = plan["stages"]["serve"]
        assert serve[when] == {name: planned[name] for name in serve[when]}


def test_a_patch_is_what_a_build_makes_of_what_was_built(
    root: Path, leangen: Leangen
) -> None:
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    edit(root, "weights: 8", "weights: 4")
    patch = leangen("diff", "spec.yaml", "--against", "main", cwd=root).stdout
    assert patch == leangen("diff", "spec.yaml", cwd=root).stdout
    assert patch.startswith("# tiny: the plan changes\n# quantization.weights")


def test_a_context_over_the_budget_says_what_would_fit(
    root: Path, leangen: Leangen
) -> None:
    given(root, num_hidden_layers=48, max_position_embeddings=32_768)
    edit(root, "context: 128", "context: 8k, vram_budget: 400MiB", "given.yaml")
    commit(root)
    edit(root, "context: 8k", "context: 32k", "given.yaml")
    page = ("plan", "given.yaml", "--against", "main", "--markdown")
    done = leangen(*page, cwd=root)
    assert done.returncode == 2
    assert "serve does not fit x86-2core" in done.stderr
    assert "choose one of the changes under: it would fit with" in done.stderr
    assert "| `target.context` | Longest prompt" in done.stdout
    assert re.search(r"\| serve \|.*\| \*\*no\*\*, it did \|", done.stdout)
    assert "| it would fit with | stage |" in done.stdout
    assert "| `target.context: " in done.stdout
    assert "It does not fit, and cannot be built: no files are compared" in done.stdout
    refused = leangen("diff", "given.yaml", "--against", "main", cwd=root)
    assert (refused.returncode, refused.stdout) == (2, "")
    told = leangen(*page[:-1], cwd=root).stdout
    assert re.search(r"serve peak .* of 400.0 MiB, DOES NOT FIT, \+\d", told)
    commit(root)
    assert markdown(leangen, root, "given.yaml") == ""
    edit(root, "context: 32k", "context: 4k", "given.yaml")
    assert "It does not fit, and cannot be built there: all files" in markdown(
        leangen, root, "given.yaml"
    )


def test_a_new_spec_is_all_new(root: Path, leangen: Leangen) -> None:
    (root / "new.yaml").write_text(SPEC.replace("name: tiny", "name: new"))
    page = markdown(leangen, root, "new.yaml")
    assert "**A new spec: " in page
    assert "| serve | x86-2core |" in page
    assert "```" not in page  # nobody needs a patch against nothing
    found = facts(leangen, root, "new.yaml")
    assert {row["state"] for row in found["files"]} == {"missing"}
    assert set(outcomes(found).values()) == {"would run"}


def test_nothing_is_said_where_nothing_changed(root: Path, leangen: Leangen) -> None:
    assert markdown(leangen, root) == ""
    edit(root, "leangen: 1\n", "# a comment\nleangen: 1\n")
    edit(root, "weights: 8", "weights: 8, method: nearest")  # as if left out
    done = leangen("plan", "spec.yaml", "--against", "main", "--markdown", cwd=root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = leangen("plan", "spec.yaml", "--against", "main", cwd=root).stdout
    assert told.endswith(": nothing changed\n")
    assert facts(leangen, root)["changed"] is False


def test_a_deleted_spec_leaves_its_files_without_a_source(
    root: Path, leangen: Leangen
) -> None:
    (root / "spec.yaml").unlink()
    assert "**A deleted spec: " in markdown(leangen, root)
    assert {row["state"] for row in facts(leangen, root)["files"]} == {"obsolete"}
    patch = leangen("diff", "spec.yaml", "--against", "main", cwd=root)
    assert patch.returncode == 0
    assert patch.stdout.count("+++ /dev/null\n") == patch.stdout.count("--- a/")


def test_a_spec_is_known_by_its_name_in_another_file(
    root: Path, leangen: Leangen
) -> None:
    edit(root, "weights: 8", "weights: 4")
    (root / "specs").mkdir()
    (root / "spec.yaml").rename(root / "other.yaml")
    found = facts(leangen, root, "other.yaml")
    assert (found["state"], len(found["fields"])) == ("renamed", 1)
    assert "against `main:spec.yaml`" in markdown(leangen, root, "other.yaml")


def test_under_another_name_every_stage_runs(root: Path, leangen: Leangen) -> None:
    edit(root, "name: tiny", "name: small")
    found = facts(leangen, root)
    assert [row["path"] for row in found["fields"]] == ["name"]
    assert set(outcomes(found).values()) == {"would run"}
    assert "generated/&lt;name>/" in markdown(leangen, root)


def test_a_spec_that_was_not_valid_is_new_and_says_why(
    root: Path, leangen: Leangen
) -> None:
    edit(root, "weights: 8", "weights: 7")
    commit(root)
    edit(root, "weights: 7", "weights: 8")
    told = leangen("plan", "spec.yaml", "--against", "main", cwd=root)
    assert told.returncode == 0
    assert "main:spec.yaml:12:25: quantization.weights: 7" in told.stdout
    assert "`main:spec.yaml: quantization.weights: 7" in markdown(leangen, root)
    patch = leangen("diff", "spec.yaml", "--against", "main", cwd=root)
    assert patch.stdout.startswith("# the spec was not valid there: all of it is new\n")


def test_a_spec_that_is_not_valid_is_an_error(root: Path, leangen: Leangen) -> None:
    edit(root, "weights: 8", "weights: 7")
    for verb in ("plan", "diff"):
        done = leangen(verb, "spec.yaml", "--against", "main", cwd=root)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("spec.yaml:12:25: quantization.weights: 7")


@pytest.mark.parametrize("ref", ["-x", "--help", "nope", "", "a\nb", "main:spec.yaml"])
def test_a_revision_that_is_not_there_is_one_line(
    root: Path, leangen: Leangen, ref: str
) -> None:
    for verb in ("plan", "diff"):
        done = leangen(verb, "spec.yaml", f"--against={ref}", cwd=root)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: git knows no revision '")
        assert done.stderr.count("\n") == 1


def test_a_shallow_clone_says_how_to_fetch_more(root: Path, leangen: Leangen) -> None:
    commit_id = git(root, "rev-parse", "main").strip()
    edit(root, "weights: 8", "weights: 4")
    commit(root)
    clone = root.parent / "clone"
    source = f"file://{root}"
    git(root, "clone", "--quiet", "--depth", "1", source, str(clone))
    done = leangen("plan", "spec.yaml", "--against", commit_id, cwd=clone)
    assert done.returncode == 2
    assert "this clone is a shallow one; git fetch --unshallow" in done.stderr


def test_no_repository_and_no_git_are_one_line_each(
    root: Path, leangen: Leangen, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "spec.yaml").write_text(SPEC)
    done = leangen("plan", "spec.yaml", "--against", "main", cwd=outside)
    assert done.returncode == 2
    assert "is in no git repository; --against compares" in done.stderr
    done = leangen("plan", "-", "--against", "main", cwd=root)
    assert done.stderr.startswith("error: standard input has no other revision;")
    monkeypatch.setenv("PATH", str(outside))
    done = leangen("plan", "spec.yaml", "--against", "main", cwd=root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no git here; install it")


def test_hostile_names_are_text_and_nothing_else(root: Path, leangen: Leangen) -> None:
    (root / HOSTILE).parent.mkdir(parents=True)
    (root / HOSTILE).write_text(SPEC.replace("corpus/*.txt", "../corpus/*.txt"))
    ref = "ref;`id`|$(touch${IFS}owned)<script>"
    git(root, "branch", ref)
    arguments = ["--against", ref, "--out", f"{Path(HOSTILE).parts[0]}/generated"]
    done = leangen("plan", HOSTILE, *arguments, "--markdown", cwd=root)
    assert done.returncode == 0, done.stderr
    assert not (root / "owned").exists()
    heading, *rest = done.stdout.splitlines()
    marks = "``"
    assert heading.startswith(f"### {marks} a `b` | <script>")
    assert heading.count(f"{marks} ") == 4  # both names are code, from end to end
    assert "## x.yaml" in heading
    assert not any(line.startswith("## ") for line in rest)
    for row in (line for line in rest if line.startswith("| ")):
        cells = re.split(r"(?<!\\)\|", row)
        assert len(cells) in (4, 5, 8)
        assert all("<script>" not in cell or cell.count(marks) == 2 for cell in cells)


def test_values_of_fields_are_text_in_tables(root: Path, leangen: Leangen) -> None:
    edit(root, '"corpus/*.txt"', '["corpus/*.txt", "`|<b>@all|``/x.txt"]')
    page = markdown(leangen, root)
    assert r"``` corpus/*.txt, `\|<b>@all\|``/x.txt ```" in page


def test_a_long_patch_is_cut_and_says_so(root: Path, leangen: Leangen) -> None:
    given(root)
    template = "{# " + "`" * 5 + "\n" + "a line of the template\n" * 6_000 + "#}\n"
    (root / "model" / "chat_template.jinja").write_text(template)
    commit(root)
    edit(root, "a line", "another line", "model/chat_template.jinja")
    done = leangen("plan", "given.yaml", "--against", "main", "--markdown", cwd=root)
    assert COMMENT * 0.9 < len(done.stdout) < COMMENT
    assert "**Cut here: " in done.stdout
    assert done.stdout.endswith("\n</details>\n")
    assert done.stdout.count("`" * 6) == 2  # a fence that the text cannot close


def given(root: Path, **shape: int) -> None:
    """Write a spec of a checkpoint of which git has the small files."""
    (root / "model").mkdir()
    (root / "model" / "config.json").write_text(json.dumps(CONFIG | shape))
    (root / "given.yaml").write_text(GIVEN)


def test_a_checkpoint_in_git_is_read_as_it_was(root: Path, leangen: Leangen) -> None:
    given(root)
    commit(root)
    edit(root, '"rms_norm_eps": 1e-05', '"rms_norm_eps": 1e-06', "model/config.json")
    found = facts(leangen, root, "given.yaml")
    assert [row["path"] for row in found["fields"]] == ["model.rms_norm_eps"]
    assert [row["before"] for row in found["fields"]] == [1e-5]


def test_what_was_built_speaks_for_a_checkpoint_that_is_not_in_git(
    root: Path, leangen: Leangen
) -> None:
    given(root)
    (root / ".gitignore").write_text("model/\n")
    commit(root)  # without anything built: this machine's checkpoint is all there is
    assert markdown(leangen, root, "given.yaml") == ""
    assert leangen("build", "given.yaml", cwd=root).returncode == 0
    commit(root)
    assert markdown(leangen, root, "given.yaml") == ""
    edit(root, '"eos_token_id": 2', '"eos_token_id": 3', "model/config.json")
    found = facts(leangen, root, "given.yaml")
    assert [(row["path"], row["after"]) for row in found["fields"]] == [
        ("tokenizer.ends", [3])
    ]
    shutil.rmtree(root / "model")  # as on a runner that builds from the copies
    assert markdown(leangen, root, "given.yaml") == ""


def test_texts_that_changed_or_went_make_data_run(root: Path, leangen: Leangen) -> None:
    (root / "corpus" / "a.txt").write_text("other text\n")
    found = facts(leangen, root)
    assert (found["fields"], found["files"]) == ([], [])
    assert found["runs"][0] == {
        "stage": "data",
        "outcome": "would run",
        "reason": "its input ../../corpus/a.txt changed",
    }
    assert outcomes(found)["train"] == "may run"
    assert "data: `its input ../../corpus/a.txt changed`" in markdown(leangen, root)
    (root / "corpus" / "a.txt").rename(root / "corpus" / "b.txt")
    assert "a.txt is gone" in facts(leangen, root)["runs"][0]["reason"]


def test_a_stage_more_changes_what_others_read(root: Path, leangen: Leangen) -> None:
    edit(root, "quantization:", "sparsity: {pattern: 2:4}\nquantization:")
    found = facts(leangen, root)
    stages = {row["stage"]: row for row in found["runs"]}
    assert (stages["prune"]["outcome"], stages["prune"]["reason"]) == (
        "would run",
        "new",
    )
    assert found["stages"]["prune"]["before"] is None


def test_several_specs_are_compared_at_once(root: Path, leangen: Leangen) -> None:
    (root / "two.yaml").write_text(SPEC.replace("name: tiny", "name: two"))
    commit(root)
    edit(root, "weights: 8", "weights: 4", "two.yaml")
    done = leangen(
        "diff", "spec.yaml", "two.yaml", "--against", "HEAD", "--json", cwd=root
    )
    one, two = json.loads(done.stdout)["specs"]
    assert (one["name"], one["changes"], one["diff"]) == ("tiny", [], "")
    assert (two["name"], len(two["changes"])) == ("two", 3)


def test_a_hook_has_its_own_repository(
    root: Path, leangen: Leangen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(root.parent / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", os.devnull)
    edit(root, "weights: 8", "weights: 4")
    assert len(facts(leangen, root)["fields"]) == 1


def test_only_a_plan_is_told_against(root: Path, leangen: Leangen) -> None:
    done = leangen("plan", "spec.yaml", "--against", "main", "--fit", cwd=root)
    assert done.returncode == 2
    assert "--against goes with neither --fit nor --measured" in done.stderr
