"""`leangen plan` as people and programs call it: tables, --json, --fit, --measured."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Leangen = Callable[..., subprocess.CompletedProcess[str]]
CONFIG = {
    "model_type": "qwen2",
    "vocab_size": 152064,
    "hidden_size": 5120,
    "intermediate_size": 27648,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
SPEC = """\
leangen: 1
name: qwen
model: {checkpoint: ./qwen}
quantization: {weights: 4, group_size: 128}
target: {hardware: rtx-3090, context: 32k}
"""
DEMO = Path(__file__).parents[1] / "spec" / "examples" / "demo.yaml"
BUILT = DEMO.read_text().replace("out_of_sample: ../../LICENSE", "")
KEYS = {"item", "bytes", "formula", "source"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a spec of a checkpoint of which there is only config.json."""
    (tmp_path / "qwen").mkdir()
    (tmp_path / "qwen" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A folder in which the demo was built."""
    root = tmp_path_factory.mktemp("demo")
    (root / "spec.yaml").write_text(BUILT)
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    return root


@pytest.fixture
def demo(built: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return shutil.copytree(built, tmp_path, dirs_exist_ok=True)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_that_is_too_large_is_refused_with_what_would_fit(
    project: Path, leangen: Leangen
) -> None:
    done = leangen("plan", "spec.yaml", cwd=project)
    assert done.returncode == 2
    assert "serve on rtx-3090" in done.stdout
    assert "DOES NOT FIT" in done.stdout
    assert "it would fit with\n  target.context: 19k" in done.stdout
    assert "weights 14.53 GiB + kv_cache 8.00 GiB" in done.stderr
    both = done.stdout + done.stderr
    assert both.count("sparsity.pattern: 2:4") == 1
    assert "choose one of the changes" in done.stderr
    piped = leangen("plan", "spec.yaml", "--fit", cwd=project)
    assert piped.stderr.count("sparsity.pattern: 2:4") == 1


def test_json_has_what_the_design_promises(project: Path, leangen: Leangen) -> None:
    done = leangen("plan", "spec.yaml", "--json", cwd=project)
    found = answer(done)
    assert (done.returncode, found["exit_code"], done.stderr) == (2, 2, "")
    assert (found["name"], found["fits"]) == ("qwen", False)
    assert found["model"]["parameters"] == 32_763_876_352
    assert found["model"]["active_parameters"] == 32_763_876_352
    assert found["model"]["kv_bytes_per_token"] == 2 * 64 * 8 * 128 * 2
    serve = found["stages"]["serve"]
    assert serve["peak_bytes"] == sum(row["bytes"] for row in serve["ledger"])
    assert all(set(row) == KEYS for row in serve["ledger"])
    assert serve["seconds"][0] < serve["seconds"][1]
    assert found["diagnostics"][0]["code"] == "over-budget"
    assert "it fits with" in found["diagnostics"][-1]["suggestion"]
    for suggestion in found["suggestions"]:
        assert suggestion["stage"] == "serve"
        hardware = "target.hardware" in suggestion["change"]
        assert hardware or suggestion["peak_bytes"] <= serve["budget_bytes"]


def test_a_suggestion_written_into_the_spec_fits(
    project: Path, leangen: Leangen
) -> None:
    found = answer(leangen("plan", "spec.yaml", "--json", cwd=project))
    contexts = [
        s["change"]["target.context"]
        for s in found["suggestions"]
        if set(s["change"]) == {"target.context"}
    ]
    assert len(contexts) == 1
    for context, fits in ((contexts[0], True), (contexts[0] + 1024, False)):
        text = SPEC.replace("context: 32k", f"context: {context}")
        (project / "spec.yaml").write_text(text)
        done = leangen("plan", "spec.yaml", "--json", cwd=project)
        assert answer(done)["fits"] == fits
        assert done.returncode == (0 if fits else 2)


def test_a_server_on_a_gpu_cannot_be_built_yet_and_says_so_in_one_line(
    project: Path, leangen: Leangen
) -> None:
    serve = "serve: {engine: onnxruntime, device: cuda}\n"
    (project / "spec.yaml").write_text(SPEC + serve)
    for verb in ("build", "check", "diff"):
        done = leangen(verb, "spec.yaml", cwd=project)
        assert done.returncode == 2
        assert "serve.device: a server of onnxruntime on a GPU" in done.stderr
    assert not (project / "generated").exists()


def test_fit_tabulates_bits_and_the_longest_context(
    project: Path, leangen: Leangen
) -> None:
    done = leangen("plan", "spec.yaml", "--fit", cwd=project)
    assert sum("4 bits" in line for line in done.stdout.splitlines()) >= 2
    assert "none fits" in done.stdout
    facts = answer(leangen("plan", "spec.yaml", "--fit", "--json", cwd=project))["fit"]
    best = [row for row in facts if (row["weights"], row["kv_cache"]) == (4, 16)]
    assert [row["context"] for row in best] == [19456, 33792]  # dense, 2:4


def test_markdown_is_tables(project: Path, leangen: Leangen) -> None:
    done = leangen("plan", "spec.yaml", "--markdown", cwd=project)
    assert "| serve | rtx-3090 | 26.52 GiB | 23.28 GiB | **no** |" in done.stdout
    for line in done.stdout.splitlines():
        assert line[:1] in ("", "|", "#", "-")


def test_measured_figures_stand_beside_the_planned_ones(
    pipeline: Path, leangen: Leangen
) -> None:
    root = pipeline.parents[1]
    found = answer(leangen("plan", "spec.yaml", "--measured", "--json", cwd=root))
    for stage in ("data", "train", "prune", "recover", "export", "evaluate"):
        assert found["stages"][stage]["measured_bytes"] > 2**20
    done = leangen("plan", "spec.yaml", "--measured", cwd=root)
    assert done.stdout.count("  measured ") == 6
    report = (pipeline / "artifacts" / "report.md").read_text()
    assert "| stage | seconds | peak MiB | planned MiB | error | with |" in report
    assert report.count("%") > 6


def test_measured_needs_a_run(tmp_path: Path, leangen: Leangen) -> None:
    (tmp_path / "spec.yaml").write_text(DEMO.read_text())
    done = leangen("plan", "spec.yaml", "--measured", cwd=tmp_path)
    assert done.returncode == 1
    assert "leangen run" in done.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"train": 3}'])
def test_damaged_measurements_are_no_measurements(
    content: str, tmp_path: Path, leangen: Leangen
) -> None:
    (tmp_path / "spec.yaml").write_text(DEMO.read_text())
    artifacts = tmp_path / "generated" / "demo" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "ledger.json").write_text(content)
    done = leangen("plan", "spec.yaml", "--measured", cwd=tmp_path)
    assert done.returncode == 2
    assert "is damaged" in done.stderr


def test_diff_opens_with_what_changes_in_the_plan(demo: Path, leangen: Leangen) -> None:
    (demo / "spec.yaml").write_text(BUILT.replace("weights: 4", "weights: 8"))
    lines = leangen("diff", "spec.yaml", cwd=demo).stdout.splitlines()
    opening = [line for line in lines[:8] if line.startswith("# ")]
    assert opening[0] == "# demo: the plan changes"
    assert opening[1].split() == ["#", "quantization.weights", "4", "->", "8"]
    assert any(line.startswith("# serve weights") for line in opening)
    (demo / "spec.yaml").write_text(BUILT.replace("port: 8000", "port: 8001"))
    assert "do not change" in leangen("diff", "spec.yaml", cwd=demo).stdout


def test_a_terminal_that_knows_only_ascii_shows_all_of_it(project: Path) -> None:
    command = "from leangen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "plan", "spec.yaml"],
        cwd=project,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"\\u" not in done.stdout


def test_a_machine_that_the_catalogue_lacks(project: Path, leangen: Leangen) -> None:
    text = SPEC.replace("rtx-3090", "custom") + (
        "custom_hardware: {kind: cuda, memory: 48GiB, bandwidth_gb_s: 900, "
        "float32_tflops: 40, bf16_tflops: 80}\n"
    )
    (project / "spec.yaml").write_text(text)
    done = leangen("plan", "spec.yaml", "--json", cwd=project)
    assert done.returncode == 0
    budget = answer(done)["stages"]["serve"]["budget_bytes"]
    assert budget == int(48 * 2**30 * 0.97)


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"spec": 3}', '{"spec": {}, "stages": {"train": 1}}', "{" * 9],
)
def test_a_damaged_plan_on_disk_does_not_stop_diff(
    content: str, demo: Path, leangen: Leangen
) -> None:
    (demo / "generated" / "demo" / "plan.json").write_text(content)
    done = leangen("diff", "spec.yaml", cwd=demo)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# demo: the plan changes")


def test_a_stage_that_goes_is_in_the_opening_of_diff(
    demo: Path, leangen: Leangen
) -> None:
    start, end = BUILT.index("sparsity:"), BUILT.index("quantization:")
    (demo / "spec.yaml").write_text(BUILT[:start] + BUILT[end:])
    opening = leangen("diff", "spec.yaml", cwd=demo).stdout.partition("---")[0]
    assert "# sparsity.pattern" in opening
    assert "# prune peak" in opening
    assert opening.count("-> 0.0 KiB") > 5


def test_a_script_that_left_its_plan_behind_still_ends_well(
    pipeline: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(pipeline / "artifacts", artifacts)
    modules = ("graph", "architecture", "artifacts", "checkpoint", "rounding")
    for name in ("export", *modules):
        shutil.copy(pipeline / f"{name}.py", tmp_path)
    shutil.copy(pipeline / "requirements-export.txt", tmp_path)
    (artifacts / "ledger.json").unlink()
    command = [sys.executable, "export.py"]
    alone = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "no plan lies beside this script" in alone.stdout
    shutil.copy(pipeline / "plan.json", tmp_path)
    (artifacts / "ledger.json").write_text("{")
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert set(json.loads((artifacts / "ledger.json").read_text())) == {"export"}


def test_more_tokens_are_more_time_in_diff(demo: Path, leangen: Leangen) -> None:
    (demo / "spec.yaml").write_text(BUILT.replace("tokens: 1900k", "tokens: 38M"))
    lines = leangen("diff", "spec.yaml", cwd=demo).stdout.splitlines()
    opening = [line.split() for line in lines if line.startswith("# ")]
    assert ["#", "train.tokens", "1,900,000", "->", "38,000,000"] in opening
    (time,) = [line for line in opening if line[1:3] == ["train", "time"]]
    before, after = time[3:7], time[8:]
    assert before[1::2] == after[1::2] == ["to", "min"]  # one unit for both
    assert float(after[0]) > 15 * float(before[0])


def test_a_described_machine_is_in_the_opening_of_diff(
    tmp_path: Path, leangen: Leangen
) -> None:
    machine = (
        "custom_hardware: {kind: cpu, memory: 8GiB, bandwidth_gb_s: 20, "
        "float32_tflops: 0.2}\n"
    )
    text = BUILT + machine
    text = text.replace("hardware: x86-2core", "hardware: custom")
    (tmp_path / "spec.yaml").write_text(text)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    (tmp_path / "spec.yaml").write_text(text.replace("tflops: 0.2", "tflops: 0.4"))
    lines = leangen("diff", "spec.yaml", cwd=tmp_path).stdout.splitlines()
    assert lines[1].split() == [
        *("#", "custom_hardware.float32_tflops", "0.2", "->", "0.4")
    ]
    assert lines[2].startswith("# train time")


def test_a_tight_fit_is_said_everywhere(project: Path, leangen: Leangen) -> None:
    text = SPEC.replace("context: 32k", "context: 19k")
    (project / "spec.yaml").write_text(text)
    shown = leangen("plan", "spec.yaml", cwd=project)
    assert shown.returncode == 0
    assert "23.26 GiB of 23.28 GiB  tight\n" in shown.stdout
    assert "note: tight: evaluate, serve, by less than the 6.2%" in shown.stdout
    table = leangen("plan", "spec.yaml", "--markdown", cwd=project).stdout
    assert "| yes, tight |" in table
    found = answer(leangen("plan", "spec.yaml", "--json", cwd=project))
    assert found["stages"]["serve"]["tight"]
