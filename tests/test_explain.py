"""`leangen explain`: what a field means and costs, and which fields made a line."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen.generator.stages import STAGES
from leangen.generator.stages.table import MADE_OF
from leangen.spec.check.schema import field_at
from leangen.spec.explained import explanations, names
from leangen.spec.text.document import steps

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
    assert "torch on cuda: zeros save in 2:4 at 8 or 16 bits" in " ".join(text.split())


def test_a_field_is_explained_in_a_spec(explain: Explain) -> None:
    text = explain("quantization.weights", "spec.yaml")
    assert "4, written in spec.yaml:" in text
    assert "quantization.weights: 16 and no quantization.group_size\n" in text
    assert "8000, the default" in explain("serve.port", "spec.yaml")
    assert "no other plan with serve.port: 4000" in explain("serve.port", "spec.yaml")
    follows = explain("quantization.kv_cache", "spec.yaml")
    assert "32, which follows from the rest of the spec" in follows


def test_what_it_costs_is_what_the_plan_says(
    project: Path, explain: Explain, leangen: Leangen
) -> None:
    found = as_document(explain("quantization.weights", "spec.yaml", "--json"))
    (eight,) = [
        other
        for other in found["instead"]
        if other["change"] == {"quantization.weights": 8}
    ]
    text = (project / "spec.yaml").read_text().replace("weights: 4", "weights: 8")
    (project / "eight.yaml").write_text(text)
    planned = as_document(leangen("plan", "eight.yaml", "--json", cwd=project).stdout)
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

    spec = load(Path(__file__).parents[1] / "spec" / "examples" / "demo.yaml")
    for answer in (explain_field(name, None), explain_field(name, spec)):
        assert field_at(steps(name))["description"].split()[0] in answer.text


def test_explanations_are_of_fields() -> None:
    assert explanations().keys() <= {*names()}
    for text in explanations().values():
        assert all(len(line) <= 95 for line in text.splitlines())


def test_what_stages_declare_are_fields() -> None:
    declared = {path for stage in STAGES for path in (*stage.fields, *stage.costs)}
    assert declared - {*names()} == MADE_OF.keys()
    assert {field for fields in MADE_OF.values() for field in fields} <= {*names()}


def test_names_are_completed(project: Path, leangen: Leangen) -> None:
    from leangen.cli import _fields

    assert _fields("sparsity.re") == [n for n in names() if n.startswith("sparsity.re")]
