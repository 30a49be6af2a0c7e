"""`leangen plan` as people and programs call it: tables, --json, --fit, --measured."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
KEYS = {"item", "bytes", "formula", "source"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a spec of a checkpoint of which there is only config.json."""
    (tmp_path / "qwen").mkdir()
    (tmp_path / "qwen" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_that_is_too_large_is_refused_with_what_would_fit(
    project, leangen
) -> None:
    done = leangen("plan", "spec.yaml", cwd=project)
    assert done.returncode == 2
    assert "serve on rtx-3090" in done.stdout
    assert "DOES NOT FIT" in done.stdout
    assert "it would fit with\n  target.context: 18k" in done.stdout
    assert "weights 14.53 GiB + kv_cache 8.00 GiB" in done.stderr
    assert "quantization.kv_cache: 8" in done.stderr


def test_json_has_what_the_design_promises(project, leangen) -> None:
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
    for suggestion in found["suggestions"]:
        assert suggestion["stage"] == "serve"
        hardware = "target.hardware" in suggestion["change"]
        assert hardware or suggestion["peak_bytes"] <= serve["budget_bytes"]


def test_a_suggestion_written_into_the_spec_fits(project, leangen) -> None:
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


def test_a_checkpoint_cannot_be_built_yet_and_says_so_in_one_line(
    project, leangen
) -> None:
    for verb in ("build", "check", "diff"):
        done = leangen(verb, "spec.yaml", cwd=project)
        assert done.returncode == 2
        assert done.stderr.count("later version") == 1
    assert not (project / "generated").exists()


def test_fit_tabulates_bits_and_the_longest_context(project, leangen) -> None:
    done = leangen("plan", "spec.yaml", "--fit", cwd=project)
    rows = [line.split("  ") for line in done.stdout.splitlines()]
    assert sum("4 bits" in line for line in done.stdout.splitlines()) >= 3
    assert rows
    assert "none fits" in done.stdout
    facts = answer(leangen("plan", "spec.yaml", "--fit", "--json", cwd=project))["fit"]
    best = [row for row in facts if (row["weights"], row["kv_cache"]) == (4, 16)]
    assert [row["context"] for row in best] == [18432]


def test_markdown_is_tables(project, leangen) -> None:
    done = leangen("plan", "spec.yaml", "--markdown", cwd=project)
    assert "| serve | rtx-3090 | 26.69 GiB | 23.28 GiB | **no** |" in done.stdout
    for line in done.stdout.splitlines():
        assert line[:1] in ("", "|", "#", "-")


def test_measured_figures_stand_beside_the_planned_ones(pipeline, leangen) -> None:
    root = pipeline.parents[1]
    found = answer(leangen("plan", "spec.yaml", "--measured", "--json", cwd=root))
    for stage in ("data", "train", "prune", "recover", "export", "evaluate"):
        assert found["stages"][stage]["measured_bytes"] > 2**20
    done = leangen("plan", "spec.yaml", "--measured", cwd=root)
    assert done.stdout.count("  measured ") == 6
    report = (pipeline / "artifacts" / "report.md").read_text()
    assert "| stage | peak MiB | planned MiB | error |" in report
    assert report.count("%") > 6


@pytest.mark.parametrize("content", [None, "{", "[]", '{"train": 3}'])
def test_measured_needs_a_run(content: str | None, tmp_path: Path, leangen) -> None:
    (tmp_path / "spec.yaml").write_text(DEMO.read_text())
    if content is not None:
        artifacts = tmp_path / "generated" / "demo" / "artifacts"
        artifacts.mkdir(parents=True)
        (artifacts / "ledger.json").write_text(content)
    done = leangen("plan", "spec.yaml", "--measured", cwd=tmp_path)
    assert done.returncode == (1 if content is None else 2)
    assert "leangen run" in done.stderr or "is damaged" in done.stderr


def test_diff_opens_with_what_changes_in_the_plan(tmp_path: Path, leangen) -> None:
    text = DEMO.read_text().replace(
        "out_of_sample: ../../LICENSE", "source: python-stdlib"
    )
    text = text.replace("  source: python-stdlib\n  source", "  source")
    (tmp_path / "spec.yaml").write_text(text)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    (tmp_path / "spec.yaml").write_text(text.replace("weights: 4", "weights: 8"))
    lines = leangen("diff", "spec.yaml", cwd=tmp_path).stdout.splitlines()
    opening = [line for line in lines[:8] if line.startswith("# ")]
    assert opening[0] == "# demo: the plan changes"
    assert opening[1].split() == ["#", "quantization.weights", "4", "->", "8"]
    assert any(line.startswith("# serve weights") for line in opening)
    (tmp_path / "spec.yaml").write_text(text.replace("port: 8000", "port: 8001"))
    assert "do not change" in leangen("diff", "spec.yaml", cwd=tmp_path).stdout


def test_a_terminal_that_knows_only_ascii_shows_all_of_it(project) -> None:
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


def test_a_machine_that_the_catalogue_lacks(project, leangen) -> None:
    text = SPEC.replace("rtx-3090", "custom") + (
        "custom_hardware: {kind: cuda, memory: 48GiB, bandwidth_gb_s: 900, "
        "float32_tflops: 40}\n"
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
def test_a_damaged_plan_on_disk_does_not_stop_diff(content, tmp_path, leangen) -> None:
    text = DEMO.read_text().replace("out_of_sample: ../../LICENSE", "")
    (tmp_path / "spec.yaml").write_text(text)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    (tmp_path / "generated" / "demo" / "plan.json").write_text(content)
    done = leangen("diff", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# demo: the plan changes")


def test_a_stage_that_goes_is_in_the_opening_of_diff(tmp_path, leangen) -> None:
    text = DEMO.read_text().replace("out_of_sample: ../../LICENSE", "")
    (tmp_path / "spec.yaml").write_text(text)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    start, end = text.index("sparsity:"), text.index("quantization:")
    (tmp_path / "spec.yaml").write_text(text[:start] + text[end:])
    opening = leangen("diff", "spec.yaml", cwd=tmp_path).stdout.partition("---")[0]
    assert "# sparsity.pattern" in opening
    assert "# prune peak" in opening
    assert opening.count("-> 0.0 KiB") > 5


def test_a_script_that_left_its_plan_behind_still_ends_well(pipeline, tmp_path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(pipeline / "artifacts", artifacts)
    shutil.copy(pipeline / "export.py", tmp_path)
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
