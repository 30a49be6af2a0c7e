"""The instrument of a GPU, moved to the CPU: it measures what ONNX Runtime and transformers do."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import loads

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
ON_CPU = """

DEVICE = "cpu"
torch.cuda.get_device_name = lambda: "no GPU"


def require_gpu() -> None:
    pass


def peak_device_bytes() -> int:
    return 1
"""
Modules = Callable[[Path], SimpleNamespace]
RunHere = Callable[[Path, str], str]
CHECKPOINTS = ["dense", "sparse", "recovered"]
FACTS = ("kl_divergence", "kl_divergence_99", "same_top", "loss_difference")


def on_cpu(folder: Path) -> Path:
    """Let scripts for a GPU run without one."""
    (folder / "tensors.py").write_text((folder / "tensors.py").read_text() + ON_CPU)
    script = (folder / "instrument.py").read_text()
    assert 'HIDDEN_DEVICE = "cuda"' in script
    (folder / "instrument.py").write_text(script.replace('"cuda"', '"cpu"'))
    return folder


def with_gpu(pipeline: Path, folder: Path, context: int, precision: str) -> Path:
    """Render a pipeline's spec for a GPU to train on, beside copies of its artifacts."""
    spec = (pipeline.parents[1] / "spec.yaml").read_text()
    training = f"train: {{hardware: h200, precision: {precision}, "
    spec = spec.replace("train: {", training)
    spec = spec.replace("context: 64", f"context: {context}")
    page = loads(spec, "spec.yaml")
    folder.mkdir()
    for name, text in build(page, plan(page)).items():
        (folder / name).write_text(text)
    shutil.copytree(pipeline / "artifacts", folder / "artifacts")
    (folder / "artifacts" / "report.json").unlink()
    return on_cpu(folder)


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "artifacts/report.json").read_text())
    return found


def test_torch_measures_what_onnx_runtime_measures(
    pipeline: Path, tmp_path: Path
) -> None:
    """The exported model, too: the tiny one computes in float32."""
    expected = report_of(pipeline)
    folder = with_gpu(pipeline, tmp_path / "gpu", 64, "float32")
    command = [sys.executable, "evaluate.py"]  # whose memory is its own
    subprocess.run(command, cwd=folder, check=True)
    found = report_of(folder)
    assert list(found["models"]) == [*CHECKPOINTS, "exported"]
    assert found["calibration"] == expected["calibration"]
    assert found["tokens"] == expected["tokens"]
    for name, figures in found["models"].items():
        other = expected["models"][name]
        assert figures["perplexity"] == pytest.approx(other["perplexity"], rel=1e-3)
        assert figures["zeros"] == pytest.approx(other["zeros"], abs=1e-6)
        assert figures["bytes"] == other["bytes"]
        for text, facts in figures["beside_dense"].items():
            for fact in FACTS:
                there = other["beside_dense"][text][fact]
                assert facts[fact] == pytest.approx(there, abs=1e-3), (name, fact)
    assert [s["prompt"] for s in found["samples"]["dense"]] == [
        s["prompt"] for s in expected["samples"]["dense"]
    ]
    ours, theirs = (r["samples"]["dense"][0]["text"] for r in (found, expected))
    assert ours[:8] == theirs[:8]  # the same draws, for as long as logits agree
    peaks = [r["models"]["exported"]["peak_bytes"] for r in (found, expected)]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.1)  # without torch beside it
    page = (folder / "artifacts" / "report.md").read_text()
    assert "weights as exported and activations in floats" in page
    assert re.search(r"\| dense \| [\d.,]+ \| 0.0% \| - \| - \|", page)
    assert re.search(r"\| exported \| [\d.,]+ \| [\d.]+% \| [\d,]+ \| [\d,]+ \|", page)


def test_layers_in_16_bits_are_close(
    pipeline: Path, tmp_path: Path, run_here: RunHere
) -> None:
    folder = with_gpu(pipeline, tmp_path / "gpu", 64, "bf16")
    assert run_here(folder, "evaluate") == ""
    for name, figures in report_of(folder)["models"].items():
        other = report_of(pipeline)["models"][name]
        assert figures["perplexity"] == pytest.approx(other["perplexity"], rel=0.02)
        assert figures["zeros"] == pytest.approx(other["zeros"], abs=1e-6)


def test_the_calibration_text_is_named(pipeline: Path) -> None:
    told = report_of(pipeline)["calibration"]
    file = pipeline / "artifacts" / "data" / "train.npy"
    done = subprocess.run(
        ["sha256sum", str(file)], capture_output=True, text=True, check=True
    )
    expected = {"text": "train", "tokens": len(np.load(file))}
    assert told == expected | {"sha256": done.stdout.split()[0]}
    page = (pipeline / "artifacts" / "report.md").read_text()
    assert told["sha256"] in page
    assert f"{told['tokens']:,} tokens" in page


def test_a_model_that_text_did_not_prune_names_none(bpe_pipeline: Path) -> None:
    assert "calibration" not in report_of(bpe_pipeline)


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_text_that_is_too_small_is_told(
    length: int, pipeline: Path, tmp_path: Path, run_here: RunHere
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "copy")
    (folder / "artifacts" / "files.json").unlink()
    file = folder / "artifacts" / "data" / "out_of_sample.npy"
    np.save(file, np.load(file)[:length])
    told = f"evaluate.py: artifacts/data/out_of_sample.npy holds {length} tokens, "
    told += "too few to measure on: add text, up to 65 or more"
    assert run_here(folder, "evaluate") == told


class SentencePiece:
    """Pieces of words as a Llama 2 tokenizer has them: the first space of a text goes."""

    def decode(self, tokens: list[int]) -> str:
        pieces = ["▁the", "▁cat", "s", "▁sat"]
        text = "".join(pieces[t] for t in tokens).replace("▁", " ")
        return text.removeprefix(" ")


def test_a_continuation_keeps_its_space(
    pipeline: Path, modules: Callable[[Path], SimpleNamespace]
) -> None:
    in_text = modules(pipeline).evaluate.in_text
    found = in_text(SentencePiece(), [0, 1], [3, 0])
    assert found == {"prompt": "the cat", "text": " sat the"}
    found = in_text(SentencePiece(), [0, 1], [2])
    assert found == {"prompt": "the cat", "text": "s"}


def test_a_character_that_a_prompt_ends_within_is_whole(
    pipeline: Path, modules: Callable[[Path], SimpleNamespace]
) -> None:
    ours = modules(pipeline)
    word = list("naïve".encode())
    found = ours.evaluate.in_text(ours.vocabulary.Vocabulary(), word[:3], word[3:])
    assert found == {"prompt": "na", "text": "ïve"}


def test_windows_score_their_second_half(
    run_pipeline: Callable[[str], Path], tmp_path: Path, run_here: RunHere
) -> None:
    """Against transformers, with both instruments."""
    text = (Path(__file__).parents[1] / "conftest.py").read_text()
    tiny = text.split('TINY = """')[1].split('"""')[0]
    tiny = tiny.replace("max_position_embeddings: 64", "max_position_embeddings: 512")
    tiny = tiny.replace("context: 64", "context: 512")
    tiny = re.sub(r"  recover:.*\n", "", tiny).replace("{tokens: 4k}", "{tokens: 2048}")
    tiny = tiny.replace("tokens: 20k, batch_size: 8", "tokens: 4k, batch_size: 2")
    there = run_pipeline(tiny)
    folder = with_gpu(there, tmp_path / "gpu", 512, "float32")
    assert run_here(folder, "evaluate") == ""
    tokens = np.load(there / "artifacts/data/test.npy").astype(np.int64)
    count = min(len(tokens) // 512, 2048 // 511)
    starts = np.linspace(0, len(tokens) - 512, count, dtype=int)
    rows = torch.from_numpy(np.stack([tokens[s : s + 512] for s in starts]))
    load = transformers.AutoModelForCausalLM.from_pretrained
    model = load(there / "artifacts" / "sparse", dtype=torch.float32)
    with torch.no_grad():
        logits = model(rows).logits[:, 256:-1]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), rows[:, 257:].flatten()
    )
    for report in (report_of(there), report_of(folder)):
        told = report["models"]["sparse"]["windowed_perplexity"]
        assert told == pytest.approx(math.exp(loss), rel=1e-4)
    assert "half windows" in (there / "artifacts" / "report.md").read_text()


@pytest.mark.parametrize(("context", "lengths"), [(1024, [128, 512]), (64, [32])])
def test_speed_is_measured_at_a_short_context_and_at_half(
    pipeline: Path, modules: Modules, context: int, lengths: list[int]
) -> None:
    decoder = SimpleNamespace(context=context, length=0)
    seen = []

    def forward(tokens: np.ndarray, positions: list[int]) -> None:
        seen.append((decoder.length, len(tokens)))

    found = modules(pipeline).running.speeds(decoder, forward)
    assert [*found["speeds"]] == [*map(str, lengths)]
    prompts = [step for step in seen if step[1] > 1]
    assert prompts == [(0, length) for length in lengths for _ in range(3)]
    written = min(64, context // 2)
    behind = [past for past, count in seen if count == 1]
    assert behind == [past for past in lengths for _ in range(3 * written)]
    for rates in (each[part] for each in found["speeds"].values() for part in each):
        assert rates == sorted(rates)
        assert len(rates) == 3
    prefill, decode = found["speeds"][str(context // 2)].values()
    assert found["prefill_tokens_per_second"] == prefill[-1]
    assert found["decode_tokens_per_second"] == decode[-1]
    assert found["first_token_seconds"] == context // 2 / prefill[1]
