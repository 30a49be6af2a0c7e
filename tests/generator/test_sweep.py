"""`leangen sweep`: variants of a spec side by side, what they share run once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leangen.cli import main
from leangen.generator.environments.make import Python
from leangen.generator.folder import hold
from leangen.generator.sweep import answer, here
from leangen.spec import LeangenError
from leangen.spec.axes import axis
from leangen.spec.check.schema import fields, schema
from leangen.spec.text.document import dotted
from tests.conftest import TINY, write_texts

Leangen = Callable[..., subprocess.CompletedProcess[str]]
Sweep = Callable[..., tuple[int, dict[str, Any]]]
BITS, PATTERN = "quantization.weights=16,4", "sparsity.pattern=dense,2:4"
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages are stood in for."""
    write_texts(tmp_path)
    (tmp_path / "spec.yaml").write_text(TINY)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IB "{STAND_IN}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAND_IN", str(tmp_path / "ran.txt"))
    monkeypatch.setattr(here, "make_ready", list)
    monkeypatch.setattr(here, "python_for", lambda *_: Python(program, os.environ))
    return tmp_path


@pytest.fixture
def sweep(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    """Run the command; give its exit code, and what it prints as JSON."""

    def call(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["leangen", *called(arguments), "--json"])
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, json.loads(capsys.readouterr().out)

    return call


def called(arguments: tuple[str, ...]) -> list[str]:
    return ["sweep", "spec.yaml", *arguments]


def forked(*arguments: str, **environment: str) -> int:
    """Run the command in a process of its own; give its id."""
    process = os.fork()
    if process == 0:
        os.environ |= environment
        sys.argv = ["leangen", *called(arguments)]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            main()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
    return process


def over(*axes: str) -> list[str]:
    return [word for each in axes for word in ("--over", each)]


def ran(root: Path) -> Counter[str]:
    """Count how often each stage ran."""
    file = root / "ran.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(line.split()[1] for line in lines)


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "spec.yaml").read_text()
    assert old in text
    (root / "spec.yaml").write_text(text.replace(old, new))


def names(document: Mapping[str, Any]) -> list[str]:
    return [each["name"] for each in document["variants"]]


def states(document: Mapping[str, Any]) -> dict[str, str]:
    return {each["slug"]: each["state"] for each in document["variants"]}


def figures(document: Mapping[str, Any]) -> dict[str, Any]:
    """Take what does not depend on the clock."""
    return {
        each["slug"]: (each["state"], each.get("measured"), shared_by(each))
        for each in document["variants"]
    }


def shared_by(variant: Mapping[str, Any]) -> dict[str, str]:
    stages = variant.get("stages", {}).items()
    return {n: row["shared_with"] for n, row in stages if "shared_with" in row}


def test_what_variants_share_runs_once(root: Path, sweep: Sweep) -> None:
    code, document = sweep(*over(PATTERN, BITS))
    assert code == 0
    assert names(document) == [
        "dense, 16 bits",
        "dense, 4 bits",
        "2:4, 16 bits",
        "2:4, 4 bits",
    ]
    once, each = dict.fromkeys(("data", "train", "prune", "recover"), 1), 4
    assert ran(root) == once | {"export": each, "evaluate": each}
    assert [shared_by(variant) for variant in document["variants"]] == [
        {},
        {"data": "dense_16", "train": "dense_16"},
        {"data": "dense_16", "train": "dense_16"},
        {"data": "dense_16", "train": "dense_16"}
        | {"prune": "2-4_16", "recover": "2-4_16"},
    ]
    perplexities = [v["measured"]["perplexity"]["test"] for v in document["variants"]]
    assert len({*perplexities}) == 4
    written = json.loads((root / "sweeps/tiny/sweep.json").read_text())
    assert written["variants"] == document["variants"]
    assert [v["baseline"] for v in document["variants"]] == [True, False, False, False]


def test_a_variant_is_its_spec_and_takes_no_second_room(
    root: Path, sweep: Sweep
) -> None:
    assert sweep(*over(BITS))[0] == 0
    one, other = (root / "sweeps/tiny" / slug for slug in ("16", "4"))
    same = {file.name for file in one.glob("*.py") if file.name != "rounding.py"}
    differ = {n for n in same if (one / n).read_text() != (other / n).read_text()}
    assert differ == {"export.py"}
    weights = "artifacts/dense/model"
    assert (one / weights).stat().st_ino == (other / weights).stat().st_ino
    ledgers = [
        json.loads((f / "artifacts/ledger.json").read_text()) for f in (one, other)
    ]
    assert [*ledgers[0]] == [*ledgers[1]]
    assert ledgers[0]["train"] == ledgers[1]["train"]


def test_nothing_runs_twice(root: Path, sweep: Sweep) -> None:
    first = sweep(*over(BITS))
    before = ran(root)
    assert sweep(*over(BITS)) == first
    assert ran(root) == before
    files = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    _, document = sweep(*over("quantization.weights=16,8,4"), "--dry-run")
    assert states(document) == {"16": "done", "8": "waiting", "4": "done"}
    assert files == {f: f.read_bytes() for f in root.rglob("*") if f.is_file()}


def test_what_does_nothing_in_a_variant_is_left_out_of_it(sweep: Sweep) -> None:
    axes = over("sparsity.pattern=dense,2:4,unstructured", "sparsity.ratio=0.5,0.7")
    _, document = sweep(*axes, *over("quantization.group_size=16,32"), "--dry-run")
    assert names(document) == [
        "dense, group size 16",
        "dense, group size 32",
        "2:4, group size 16",
        "2:4, group size 32",
        "unstructured, ratio 0.5, group size 16",
        "unstructured, ratio 0.5, group size 32",
        "unstructured, ratio 0.7, group size 16",
        "unstructured, ratio 0.7, group size 32",
    ]
    dense = document["variants"][0]
    assert dense["changes"] == {
        "sparsity.pattern": "dense",
        "quantization.group_size": 16,
    }
    assert dense["is"]["recovered"] is False
    assert "method" not in dense["is"]
    axes = over("quantization.weights=16,4", "quantization.method=nearest,gptq")
    assert names(sweep(*axes, "--dry-run")[1]) == [
        "16 bits",
        "4 bits, method nearest",
        "4 bits, method gptq",
    ]


def test_a_section_is_there_or_not(sweep: Sweep) -> None:
    axes = over(PATTERN, "sparsity.recover=with,without")
    _, document = sweep(*axes, "--dry-run")
    assert names(document) == ["dense", "2:4, with recover", "2:4, without recover"]
    recovered = [each["is"]["recovered"] for each in document["variants"]]
    assert recovered == [False, True, False]


def test_axes_hold_where_they_are_said_to(root: Path, sweep: Sweep) -> None:
    section = """
sweep:
  over:
    - sparsity.pattern=dense,2:4
    - quantization.weights=16,8,4
    - sparsity.method=wanda,magnitude where quantization.weights=4 and sparsity.pattern=2:4
  without: sparsity.pattern=dense and quantization.weights=8,4
"""
    (root / "spec.yaml").write_text(TINY + section)
    _, document = sweep("--dry-run")
    assert names(document) == [
        "dense, 16 bits",
        "2:4, 16 bits",
        "2:4, 8 bits",
        "2:4, 4 bits, method wanda",
        "2:4, 4 bits, method magnitude",
    ]
    _, document = sweep("--dry-run", *over(BITS), "--without", "quantization.weights=4")
    assert names(document) == ["16 bits"]  # what is asked for stands in its place


def test_the_section_changes_no_file(root: Path, leangen: Leangen) -> None:
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    (root / "spec.yaml").write_text(TINY + f"sweep: {{over: '{BITS}', repeat: 3}}\n")
    done = leangen("check", "spec.yaml", cwd=root)
    assert done.returncode == 0, done.stdout


def test_what_is_refused_is_listed_with_its_reason(sweep: Sweep) -> None:
    axes = over("sparsity.pattern=2:4,unstructured", "target.vram_budget=1GiB,80MiB")
    code, document = sweep(*axes, "--dry-run")
    assert code == 0
    whys = {each["name"]: each.get("why", "") for each in document["variants"]}
    assert [*whys] == [
        "2:4, vram budget 1GiB",
        "2:4, vram budget 80MiB",
        "unstructured, vram budget 1GiB",
        "unstructured, vram budget 80MiB",
    ]
    allowed, too_large, without_ratio, _ = whys.values()
    assert allowed == ""
    assert too_large.startswith("target.vram_budget: train does not fit ")
    assert "needs a ratio; add the share of weights" in without_ratio
    assert "\n" not in too_large


def test_where_all_is_refused_nothing_is_written(root: Path, sweep: Sweep) -> None:
    code, document = sweep(*over("sparsity.pattern=structured,unstructured"))
    assert code == 2
    found = [each["message"] for each in document["diagnostics"]]
    assert [message.split(": ")[:2] for message in found] == [
        ["structured", "refused"],
        ["unstructured", "refused"],
    ]
    assert not (root / "sweeps").exists()


def test_a_failed_variant_does_not_stop_the_others(root: Path, sweep: Sweep) -> None:
    code, document = sweep(*over(PATTERN, BITS), FAILS="2-4_16 prune")
    assert code == 1
    assert states(document) == {
        "dense_16": "done",
        "dense_4": "done",
        "2-4_16": "failed",
        "2-4_4": "failed",
    }
    whys = [each.get("why") for each in document["variants"]]
    assert whys == [None, None, "prune: no luck", "prune: no luck"]
    assert ran(root)["prune"] == 1  # what fails for one is not tried for the other
    code, document = sweep(*over(PATTERN, BITS))
    assert code == 0
    assert {*states(document).values()} == {"done"}
    assert ran(root)["train"] == 1


EVERY = ["data", "train", "prune", "recover", "export", "evaluate"]
WHOLE = {
    "16": ("done", {}, EVERY),
    "4": ("done", dict.fromkeys(EVERY[:4], "16"), EVERY),
}


@pytest.mark.parametrize(
    ("at", "when"),
    [(1, "before"), (1, "after"), (4, "before"), (4, "alone"), (7, "after")],
)
def test_who_is_killed_goes_on_and_ends_the_same(
    root: Path, sweep: Sweep, at: int, when: str
) -> None:
    killed = forked(*over(BITS), KILLED_AT=str(at), KILLED=when)
    _, status = os.waitpid(killed, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    code, document = sweep(*over(BITS))
    assert code == 0
    # What was killed runs again, and what has outlived leangen does not.
    assert sum(ran(root).values()) == 8 + (when != "alone")
    whole = {
        each["slug"]: (each["state"], shared_by(each), [*each["stages"]])
        for each in document["variants"]
    }
    assert whole == WHOLE
    high, low = (each["measured"]["perplexity"] for each in document["variants"])
    assert high != low


def test_a_terminated_sweep_takes_its_stage_with_it(root: Path, sweep: Sweep) -> None:
    process = forked(*over(BITS), SLEEPS="60")
    while not ran(root):
        time.sleep(0.01)
    os.kill(process, signal.SIGTERM)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 143
    document = json.loads((root / "sweeps/tiny/sweep.json").read_text())
    assert {*states(document).values()} == {"waiting"}
    assert sweep(*over(BITS))[0] == 0  # at once: nothing holds a folder


def test_two_sweeps_at_once_are_refused(root: Path, sweep: Sweep) -> None:
    assert sweep(*over(BITS))[0] == 0
    home = root / "sweeps/tiny"
    with hold(home / ".lock", home):
        code, document = sweep(*over(BITS))
    assert code == 1
    assert "is at work in sweeps/tiny" in document["diagnostics"][0]["message"]


def test_a_dry_run_writes_nothing(root: Path, sweep: Sweep) -> None:
    before = {*root.rglob("*")}
    code, document = sweep(*over(PATTERN, BITS), "--dry-run")
    assert code == 0
    assert {*root.rglob("*")} == before
    assert document["variants"][3]["would_share"] == {
        "data": "dense_16",
        "train": "dense_16",
        "prune": "2-4_16",
        "recover": "2-4_16",
    }
    assert document["planned_seconds"][0] > 0


def test_a_dry_run_is_a_table(root: Path, leangen: Leangen) -> None:
    axes = over("sparsity.pattern=dense,unstructured", BITS)
    done = leangen("sweep", "spec.yaml", *axes, "--dry-run", cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny: 2 variants, 2 more refused, 6 stages to run of 8"
    assert lines[1].split() == ["variant", "file", "memory", "time", "shared"]
    assert lines[3].endswith("data, train with dense, 16 bits")
    assert lines[4].startswith("refused: unstructured, 16 bits: sparsity.ratio: ")
    assert lines[-1].startswith("all of it: ")


def test_each_repeat_has_a_seed_of_its_own(root: Path, sweep: Sweep) -> None:
    code, document = sweep(*over(BITS), "--repeat", "2")
    assert code == 0
    assert {v["slug"]: v["seed"] for v in document["variants"]} == {
        "16": 0,
        "16_seed-1": 1,
        "4": 0,
        "4_seed-1": 1,
    }
    changes = [each["changes"] for each in document["variants"]]
    assert changes[0] == changes[1] == {"quantization.weights": 16}
    once_a_seed = dict.fromkeys(("train", "prune", "recover"), 2)
    assert ran(root) == once_a_seed | {"data": 1, "export": 4, "evaluate": 4}


def test_stages_run_at_once_and_what_is_shared_still_once(
    root: Path, sweep: Sweep
) -> None:
    axes = over("sparsity.pattern=dense,2:4,4:8")
    code, document = sweep(*axes, "--jobs", "3", SLEEPS="0.1")
    assert code == 0
    expected = {"data": 1, "train": 1, "prune": 2, "recover": 2}
    assert ran(root) == expected | {"export": 3, "evaluate": 3}
    together = figures(document)
    (root / "sweeps").rename(root / "others")
    assert figures(sweep(*axes)[1]) == together


def test_a_line_a_variant_says_how_long_the_others_take(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["leangen", *called((*over(BITS),))])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[0] == "tiny: 2 variants, 8 stages to run of 12"
    assert lines[1].startswith("tiny: 16 bits: done (1 of 2, about ")
    assert lines[2:] == ["tiny: 4 bits: done (2 of 2)"]
    page = Path("sweeps", "tiny", "report.html")
    last = f"wrote {page.with_name('sweep.json')}, {page}"
    assert shown.out.splitlines()[-1] == last
    assert "4 bits" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to sweep over; add --over quantization.weights=16,8,4"),
        (over("quantization.bits=4"), "did you mean weights?"),
        (over("quantisation.weights=4"), "did you mean quantization?"),
        (over("quantization.weights=16,5"), "--over:1:25: quantization.weights: 5"),
        (over("quantization.weights=4,"), "--over:1:24: quantization.weights: has no"),
        (over("quantization.weights"), "write it as quantization.weights=16,8,4"),
        (over("sparsity.pattern=2:5"), "did you mean 2:4?"),
        (over("sparsity=dense"), "expected with (as the spec has it) or without"),
        (over("export=with"), "export: is the same in every variant"),
        (over("evaluate=with,without", "evaluate=with"), "an axis of it already"),
        (over("data.test=with\n"), "character U+000A may not stand in an axis"),
        (over("name=other"), "name: is the same in every variant"),
        (over("custom_hardware=with"), "the spec has no custom_hardware"),
        (over(BITS, BITS), "quantization.weights: there is an axis of it already"),
        (over(f"{BITS} where x=1"), "'x' is not a field of a spec"),
        ([*over(BITS), "--without", "x"], "--without:1:1: is not a field and its"),
        (
            [*over("train.seed=0,1"), "--repeat", "2"],
            "an axis is of train.seed already",
        ),
        (over(f"train.seed={','.join('1' * 1001)}"), "1,001 combinations are more"),
    ],
)
def test_an_axis_that_is_none_is_an_error_with_its_place(
    root: Path, leangen: Leangen, arguments: list[str], message: str
) -> None:
    done = leangen("sweep", "spec.yaml", *arguments, cwd=root)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ") or message in done.stderr
    assert not (root / "sweeps").exists()


def test_without_ray_it_is_said_how_to_get_it(
    root: Path, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "find_spec", lambda name: None)
    code, document = sweep(*over(BITS), "--on", "ray")
    (found,) = document["diagnostics"]
    assert (code, found["code"]) == (2, "missing-package")
    assert "pip install 'leangen[ray]'" in found["suggestion"]
    assert not (root / "sweeps").exists()
    assert sweep(*over(BITS), "--on", "ray", "--dry-run")[0] == 0


def test_files_of_the_author_are_refused(root: Path, leangen: Leangen) -> None:
    (root / "spec.yaml").write_text(f"{TINY}ejected: prune.py\n")
    done = leangen("sweep", "spec.yaml", *over(BITS), cwd=root)
    assert done.returncode == 2
    assert "files that are yours would be the same in every variant" in done.stderr


def test_an_edited_variant_is_not_overwritten(root: Path, sweep: Sweep) -> None:
    assert sweep(*over(BITS))[0] == 0
    with (root / "sweeps/tiny/4/export.py").open("a") as file:
        file.write("# mine\n")
    code, document = sweep(*over(BITS))
    assert code == 3
    assert document["diagnostics"][0]["code"] == "edited"


PATHS = [dotted(path) for path, _ in fields(schema())]
WORDS = st.sampled_from([*PATHS, "=", ",", " where ", " and ", "2:4", "4", "with"])
LINES = st.lists(WORDS | st.text(max_size=3), max_size=8).map("".join)


@given(LINES)
def test_any_line_is_an_axis_or_an_error_in_it(line: str) -> None:
    try:
        found = axis(line, "--over")
    except LeangenError as error:
        places = [each.column for each in error.diagnostics]
        assert all(0 <= column <= len(line) + 1 for column in places)
    else:
        assert found.choice.field in PATHS
        assert len(found.choice.values) >= 1


def test_a_sweep_does_not_go_through_a_link(root: Path, leangen: Leangen) -> None:
    (root / "sweeps").mkdir()
    (root / "elsewhere").mkdir()
    (root / "sweeps" / "tiny").symlink_to("../elsewhere")
    done = leangen("sweep", "spec.yaml", *over(BITS), cwd=root)
    assert done.returncode and "is a symbolic link" in done.stderr
    assert not [*(root / "elsewhere").iterdir()]


def test_a_real_sweep_is_what_its_specs_are(tmp_path: Path, leangen: Leangen) -> None:
    """With its own scripts: each takes what another variant has made."""
    pytest.importorskip("torch")
    write_texts(tmp_path)
    text = TINY.replace("tokens: 20k", "tokens: 3k").replace(
        "tokens: 10k", "tokens: 3k"
    )
    (tmp_path / "spec.yaml").write_text(text.replace("tokens: 4k", "tokens: 1024"))
    done = leangen("sweep", "spec.yaml", *over(BITS), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    high, low = document["variants"]
    assert low["measured"]["file_bytes"] < high["measured"]["file_bytes"]
    assert shared_by(low) == dict.fromkeys(("data", "train", "prune", "recover"), "16")
    report = json.loads((tmp_path / "sweeps/tiny/4/artifacts/report.json").read_text())
    exported = report["models"]["exported"]
    assert low["measured"]["perplexity"] == exported["perplexity"]
    assert {*report["stages"]} == {*low["stages"]}
    assert [*low["measured"]["speeds"]] == ["32"]
    assert low["measured"]["first_token_seconds"] > 0
