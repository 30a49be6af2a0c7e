"""Keys and values in 8 bits: calibrated, measured, served."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openai
import pytest

from tests.conftest import built

Leangen = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def rounded(
    talker: Path, tmp_path_factory: pytest.TempPathFactory, leangen: Leangen
) -> Path:
    """The folder of the model that talks, with a cache of 8 bits, as `leangen run` leaves it."""
    root = tmp_path_factory.mktemp("rounded")
    shutil.copytree(talker.parents[1] / "model", root / "model")
    (root / "text.txt").write_text(Path(json.__file__).read_text() * 40)
    page = (talker.parents[1] / "spec.yaml").read_text()
    page = page.replace("weights: 32", "weights: 32, kv_cache: 8")
    page = page.replace(
        "source: python-manual",
        "calibration: text.txt, test: text.txt, source: text, path: text.txt",
    )
    (root / "spec.yaml").write_text(page + "evaluate: {tokens: 1024}\n")
    folder = built(root / "spec.yaml")
    done = leangen("run", "spec.yaml", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_report_says_what_the_bits_cost(rounded: Path) -> None:
    report = json.loads((rounded / "artifacts" / "report.json").read_text())
    models, cost = report["models"], report["cache"]
    both = [models[name]["perplexity"]["test"] for name in ("exported", "float_cache")]
    assert cost["loss_difference"] == pytest.approx(float(np.log(both[0] / both[1])))
    assert 0 < abs(both[0] / both[1] - 1) < 0.02
    assert models["float_cache"]["perplexity"] == pytest.approx(
        models["dense"]["perplexity"]
    )
    page = (rounded / "artifacts" / "report.md").read_text()
    assert f"{cost['loss_difference']:+.4f} ±" in page
    assert "Cache scaled with the calibration text" in page


def test_calibration_is_the_same_to_the_byte(rounded: Path) -> None:
    file = rounded / "artifacts" / "cache_scales.npz"
    before = file.read_bytes()
    assert run("calibrate.py", rounded).returncode == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_scales_that_are_not_the_models_are_named(
    damage: str, rounded: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(rounded, folder)
    file = folder / "artifacts" / "cache_scales.npz"
    if damage == "other":  # as if it came from elsewhere: nothing was noted of it
        (folder / "artifacts" / "files.json").unlink()
        with file.open("wb") as opened:
            np.savez(opened, of_another_model=np.ones((1, 1, 1, 8), np.float32))
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    done = run("serve.py", folder)
    assert done.returncode == 1
    assert "cache_scales.npz is" in done.stderr
    assert "calibrate.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_answers_alike_whatever_was_asked_before(rounded: Path) -> None:
    """One buffer serves all requests, and rows of longer ones stay in it."""
    command = [sys.executable, "serve.py", "--port", "0"]
    server = subprocess.Popen(command, cwd=rounded, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        client = openai.OpenAI(base_url=url, api_key="-", max_retries=0, timeout=60)
        model = client.models.list().data[0].id

        def answer(prompt: str) -> str:
            ask = client.completions.create
            done = ask(model=model, prompt=prompt, max_tokens=24, temperature=0)
            return done.choices[0].text

        first = answer("def")
        assert answer("import json " * 30) != first
        assert answer("def") == first
    finally:
        server.terminate()
        server.wait()


def test_a_gpu_that_measures_floats_is_refused(
    rounded: Path, tmp_path: Path, leangen: Leangen
) -> None:
    shutil.copytree(rounded.parents[1] / "model", tmp_path / "model")
    page = (rounded.parents[1] / "spec.yaml").read_text()
    (tmp_path / "spec.yaml").write_text(page + "train: {hardware: h200}\n")
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "8 bits where models are measured on the GPU" in done.stderr
