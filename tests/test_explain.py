"""`leangen explain`: what a field means and costs, and which fields made a line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen.generator.open import open_projects
from leangen.generator.render.build import templates_of
from leangen.generator.render.origins import lines_of, origins
from leangen.generator.stages import STAGES
from leangen.generator.stages.table import MADE_OF
from leangen.spec.check.schema import field_at
from leangen.spec.explained import explanations, names
from leangen.spec.text.document import steps

ROOT = Path(__file__).parents[1] / "spec"
Leangen = Callable[..., subprocess.CompletedProcess[str]]
Explain = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, leangen: Leangen) -> Path:
    """A folder with a spec that was built."""
    root = tmp_path_factory.mktemp("explained")
    for call in (("init",), ("build", "spec.yaml")):
        done = leangen(*call, cwd=root)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def explain(project: Path, leangen: Leangen) -> Explain:
    def call(*arguments: object) -> str:
        done = leangen("explain", *arguments, cwd=project)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def as_document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_field_is_explained_without_a_spec(explain: Explain) -> None:
    text = explain("sparsity.pattern")
    assert text.startswith("sparsity.pattern: dense, unstructured, structured or N:M")
    assert "# . . # | . # # ." in text  # the drawing
    assert "prune.py" in text
    assert "torch on cuda: zeros save in 2:4 at 4, 8 or 16 bits" in " ".join(
        text.split()
    )


def test_a_field_is_explained_in_a_spec(explain: Explain) -> None:
    text = explain("quantization.weights", "spec.yaml")
    assert "4, written in spec.yaml:" in text
    assert "quantization.weights: 16 and no quantization.group_size\n" in text
    assert "8000, the default" in explain("serve.port", "spec.yaml")
    assert "no other plan with serve.port: 4000" in explain("serve.port", "spec.yaml")
    follows = explain("quantization.kv_cache", "spec.yaml")
    assert "32, which follows from the rest of the spec" in follows


def test_what_it_costs_is_what_the_plan_says(
    project: Path, explain: Explain, leangen: Leangen, tmp_path: Path
) -> None:
    found = as_document(explain("quantization.weights", "spec.yaml", "--json"))
    (eight,) = [
        other
        for other in found["instead"]
        if other["change"] == {"quantization.weights": 8}
    ]
    text = (project / "spec.yaml").read_text().replace("weights: 4", "weights: 8")
    (tmp_path / "eight.yaml").write_text(text)
    planned = as_document(leangen("plan", "eight.yaml", "--json", cwd=tmp_path).stdout)
    for name, stage in planned["stages"].items():
        assert eight["stages"][name]["peak_bytes"] == stage["peak_bytes"]
        assert eight["stages"][name]["seconds"] == stage["seconds"]


def test_a_section_lists_its_fields(explain: Explain) -> None:
    lines = explain("sparsity", "spec.yaml").splitlines()
    (method,) = [line for line in lines if line.startswith(" method ")]
    assert "wanda" in method
    assert all(len(line) <= 96 for line in lines)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sparsity.patern", "sparsity.pattern"),
        ("pattern", "sparsity.pattern"),
        ("bits", "quantization.weights"),
        ("lr", "train.learning_rate or sparsity.recover.learning_rate"),
    ],
)
def test_an_unknown_name_gives_the_nearest(
    name: str, meant: str, tmp_path: Path, leangen: Leangen
) -> None:
    done = leangen("explain", name, cwd=tmp_path)
    assert done.returncode == 2
    assert f"there is no field '{name}'; did you mean {meant}" in done.stderr


@pytest.mark.parametrize("name", names())
def test_every_field_is_explained(name: str) -> None:
    from leangen.generator.explain.field import explain_field
    from leangen.spec import load

    specs = [load(ROOT / "starter.yaml"), load(ROOT / "examples" / "demo.yaml")]
    for answer in (explain_field(name, spec) for spec in (None, *specs)):
        assert field_at(steps(name))["description"].split()[0] in answer.text


def test_explanations_are_of_fields() -> None:
    assert explanations().keys() <= {*names()}
    for text in explanations().values():
        assert all(len(line) <= 95 for line in text.splitlines())


def test_what_stages_declare_are_fields() -> None:
    declared = {path for stage in STAGES for path in (*stage.fields, *stage.costs)}
    assert declared - {*names()} == MADE_OF.keys()
    assert {field for fields in MADE_OF.values() for field in fields} <= {*names()}


COMPLETIONS = {
    "bash": {"COMP_WORDS": "leangen explain sparsity.p", "COMP_CWORD": "2"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "leangen explain sparsity.p"},
}


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_names_of_fields_are_completed(tmp_path: Path, shell: str) -> None:
    tool = tmp_path / "leangen"
    tool.write_text("from leangen.cli import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(tool)],
        env=os.environ
        | {"_LEANGEN_COMPLETE": f"complete_{shell}"}
        | COMPLETIONS[shell],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "sparsity.pattern" in done.stdout, done.stderr
    assert "sparsity.ratio" not in done.stdout


def line_of(project: Path, file: str, start: str) -> int:
    lines = (project / file).read_text().splitlines()
    (number,) = [n for n, line in enumerate(lines, 1) if line.startswith(start)]
    return number


PRUNE = "generated/my-model/prune.py"


def test_a_constant_hangs_on_its_field(project: Path, explain: Explain) -> None:
    line = line_of(project, PRUNE, "CALIBRATION_SEQUENCES =")
    found = as_document(explain(f"{PRUNE}:{line}", "--json"))
    by_field = {effect["field"]: effect["becomes"] for effect in found["fields"]}
    name = "sparsity.calibration_sequences"
    assert by_field[name] == f"CALIBRATION_SEQUENCES = 256  # {name}"
    assert by_field["sparsity.pattern"] is None  # dense: the script goes
    assert by_field.keys() == {name, "sparsity.pattern", "sparsity.method"}
    assert found["rule"]["template"].startswith("templates/prune/layerwise.py.j2:")
    assert found["rule"]["hole"].startswith("CALIBRATION_SEQUENCES = {{")


def test_a_constant_of_the_plan_says_so(project: Path, explain: Explain) -> None:
    line = line_of(project, PRUNE, "MICRO_BATCH =")
    text = explain(f"{PRUNE}:{line}", "spec.yaml")
    assert "sequences at once; for prune, from model, train.hardware" in text
    assert "model.max_position_embeddings: " in text
    file = "generated/my-model/rounding.py"  # a module sees the plan of a stage
    text = explain(f"{file}:{line_of(project, file, 'HEAD_BITS =')}")
    assert "for export, from model" in text


def test_a_line_may_hang_on_a_condition_or_on_nothing(
    project: Path, explain: Explain
) -> None:
    file = "generated/my-model/artifacts.py"
    text = explain(f"{file}:{line_of(project, file, 'FOLDER =')}")
    assert "templates/artifacts/script.py.j2:" in text
    assert "stays with each of " in text
    file = "generated/my-model/tensors.py"
    text = explain(f"{file}:{line_of(project, file, 'import torch')}")
    assert "templates/imports.py" in text


def test_what_it_says_is_what_build_does(
    project: Path, explain: Explain, leangen: Leangen, tmp_path: Path
) -> None:
    file = "generated/my-model/rounding.py"
    line = line_of(project, file, "GROUP_SIZE =")
    found = as_document(explain(f"{file}:{line}", "--json"))
    change = {"quantization.group_size": 64}
    (effect,) = [each for each in found["fields"] if each["changes"] == change]
    text = (project / "spec.yaml").read_text()
    assert "group_size: 32" in text
    changed = text.replace("group_size: 32", "group_size: 64")
    (tmp_path / "spec.yaml").write_text(changed)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    built = (tmp_path / file).read_text().splitlines()
    assert built[line - 1] == effect["becomes"]


def test_an_edited_file_says_so(project: Path, leangen: Leangen) -> None:
    file = project / PRUNE
    before = file.read_text()
    line = line_of(project, PRUNE, "MICRO_BATCH =")
    file.write_text(before.replace("MICRO_BATCH =", "MINE = 1\nMICRO_BATCH ="))
    try:
        done = leangen("explain", f"{PRUNE}:{line}", cwd=project)
        assert done.returncode == 1
        assert "leangen wrote no such line: the file was edited by hand" in done.stdout
        done = leangen("explain", f"{PRUNE}:{line + 1}", cwd=project)
        assert done.returncode == 0
        assert "MICRO_BATCH = {{ plan.micro_batch }}" in done.stdout
        assert "was edited by hand" in done.stdout
    finally:
        file.write_text(before)


def test_a_place_that_is_none_is_one_line(project: Path, leangen: Leangen) -> None:
    for place, said in {
        f"{PRUNE}:9999": "prune.py has",
        "generated/my-model/mine.py:1": "leangen does not write",
        "spec.yaml:3": "it has no leangen.lock",
    }.items():
        done = leangen("explain", place, cwd=project)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_spec_is_asked_for_where_two_may_be_meant(
    project: Path, leangen: Leangen
) -> None:
    twin = project / "twin.yaml"
    twin.write_text((project / "spec.yaml").read_text())
    try:
        done = leangen("explain", f"{PRUNE}:1", cwd=project)
        assert done.returncode == 2
        assert "2 specs" in done.stderr
        assert "spec.yaml, twin.yaml" in done.stderr
    finally:
        twin.unlink()


EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_line_is_found_in_its_template(file: Path) -> None:
    out = ROOT.parent / "generated"
    (project,) = open_projects([file], out)
    for name, found in templates_of(project.spec, project.plan).items():
        text = project.files[name]
        for line, origin in zip(lines_of(text), origins(*found, text), strict=True):
            if origin and "{{" not in origin.text:
                assert line.strip() == origin.text, f"{name}: {origin}"
