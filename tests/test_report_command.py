"""`leangen report` as people and programs call it: of a sweep, of a run, and of neither."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Leangen
from tests.generator.synthetic_sweep import synthetic
from tests.generator.test_page import run_folder

DEMO = Path(__file__).parents[1] / "spec" / "examples" / "demo.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a spec that was never built."""
    shutil.copy(DEMO, tmp_path / "spec.yaml")
    return tmp_path


def swept(folder: Path) -> Path:
    """Lay a sweep.json; return its folder."""
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(synthetic()))
    return folder


def test_a_sweep_has_a_page_beside_its_figures(project: Path, leangen: Leangen) -> None:
    folder = swept(project / "sweeps" / "demo")
    done = leangen("report", "spec.yaml", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "At equal bytes, which wins?\n  Of 5 pairs" in done.stdout
    assert "wrote sweeps/demo/report.html" in done.stdout
    assert {"report.html", "report.csv", "report.json", "bytes.svg"} <= {
        file.name for file in folder.iterdir()
    }


def test_out_says_where_and_json_is_one_document(
    project: Path, leangen: Leangen
) -> None:
    swept(project / "elsewhere" / "demo")
    done = leangen("report", "spec.yaml", "--out", "elsewhere", "--json", cwd=project)
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], done.stderr) == (0, 0, "")
    assert found["files"][0] == "elsewhere/demo/report.html"
    assert found["words"][0]["question"] == "The dense model"
    assert len(found["variants"]) == len(synthetic()["variants"])


def test_a_run_has_a_page_among_its_artifacts(project: Path, leangen: Leangen) -> None:
    artifacts = project / "generated" / "demo" / "artifacts"
    artifacts.mkdir(parents=True)
    before = (run_folder(artifacts) / "report.json").read_bytes()
    done = leangen("report", "spec.yaml", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["files"][0] == "generated/demo/artifacts/report/report.html"
    assert "The gate is missed" in " ".join(found["words"])
    assert (artifacts / "report.json").read_bytes() == before


def test_what_was_not_measured_has_no_page(project: Path, leangen: Leangen) -> None:
    done = leangen("report", "spec.yaml", cwd=project)
    assert done.returncode == 1
    assert "nothing was measured yet" in done.stderr
    assert not (project / "generated").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"name": "x", "variants": [1]}', "[" * 10**5]
)
def test_a_damaged_sweep_is_a_line(text: str, project: Path, leangen: Leangen) -> None:
    folder = swept(project / "sweeps" / "demo")
    (folder / "sweep.json").write_text(text)
    done = leangen("report", "spec.yaml", cwd=project)
    assert done.returncode != 0
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["report.json", "ledger.json", "train.jsonl"])
def test_a_damaged_file_of_a_run_is_a_line(
    name: str, project: Path, leangen: Leangen
) -> None:
    artifacts = project / "generated" / "demo" / "artifacts"
    artifacts.mkdir(parents=True)
    (run_folder(artifacts) / name).write_text("{")
    done = leangen("report", "spec.yaml", cwd=project)
    assert done.returncode != 0
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr
