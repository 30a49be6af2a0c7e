"""Text from files of JSON lines: each line's object holds a document under a name."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import built

Leangen = Callable[..., subprocess.CompletedProcess[str]]
PAGE = """\
leangen: 1
name: lines
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 64
target: {hardware: x86-2core, context: 64}
data: {source: jsonl, path: "corpus/*.jsonl", field: body}
"""


def data_of(root: Path, leangen: Leangen) -> subprocess.CompletedProcess[str]:
    """Build the page in a folder, and run its stage data."""
    (root / "spec.yaml").write_text(PAGE)
    built(root / "spec.yaml")
    return leangen("run", "spec.yaml", "--until", "data", cwd=root)


def write_lines(root: Path, *lines: str) -> None:
    (root / "corpus").mkdir()
    (root / "corpus" / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))


def tokens_of(root: Path) -> np.ndarray:
    folder = root / "generated" / "lines" / "artifacts" / "data"
    splits = [np.load(folder / f"{split}.npy") for split in ("train", "val", "test")]
    return np.concatenate(splits)


def test_the_texts_of_all_lines_become_tokens(tmp_path: Path, leangen: Leangen) -> None:
    texts = [f"number {number}, é\n" * 9 for number in range(200)]
    write_lines(tmp_path, *(json.dumps({"id": 1, "body": text}) for text in texts))
    done = data_of(tmp_path, leangen)
    assert done.returncode == 0, done.stderr
    tokens = tokens_of(tmp_path)
    assert sum(tokens < 256) == sum(len(text.encode()) for text in texts)


def test_blank_lines_and_a_byte_order_mark_are_no_text(
    tmp_path: Path, leangen: Leangen
) -> None:
    texts = [f"number {number}\n" for number in range(40)]
    lines = [f"{json.dumps({'body': text})}\n \n" for text in texts]
    write_lines(tmp_path, "\ufeff", *lines, "")
    done = data_of(tmp_path, leangen)
    assert done.returncode == 0, done.stderr
    assert tokens_of(tmp_path).size == sum(len(text) + 1 for text in texts)


@pytest.mark.parametrize("lines", [[], ["", " "], ['{"body": "one"}']])
def test_nothing_to_train_on_is_an_error(
    tmp_path: Path, leangen: Leangen, lines: list[str]
) -> None:
    write_lines(tmp_path, *lines)
    done = data_of(tmp_path, leangen)
    assert done.returncode == 1
    (line,) = (x for x in done.stderr.splitlines() if x.startswith("data.py: "))
    assert "no file with text matches" in line or "no text for train" in line
    assert line.endswith("the spec")


def test_a_line_without_the_name_is_an_error_with_its_place(
    tmp_path: Path, leangen: Leangen
) -> None:
    write_lines(tmp_path, '{"body": "good"}', '{"text": "bad"}')
    done = data_of(tmp_path, leangen)
    assert done.returncode == 1
    assert "a.jsonl:2 is no JSON object with a text under body" in done.stderr


def test_a_text_to_test_on_is_all_that_is_tested_on(
    tmp_path: Path, leangen: Leangen
) -> None:
    texts = [f"number {number}\n" * 9 for number in range(200)]
    write_lines(tmp_path, *(json.dumps({"body": text}) for text in texts))
    (tmp_path / "other.jsonl").write_text(json.dumps({"body": "from elsewhere"}))
    spec = tmp_path / "spec.yaml"
    page = PAGE.replace("field: body", "field: body, test: other.jsonl")
    spec.write_text(page)
    built(spec)
    done = leangen("run", "spec.yaml", "--until", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "generated" / "lines" / "artifacts" / "data"
    tokens = np.load(folder / "test.npy")
    assert bytes(tokens[tokens < 256].astype(np.uint8)) == b"from elsewhere"
