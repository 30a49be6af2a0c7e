"""Text from files of JSON lines: each line's object holds a document under a name."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    return leangen("run", "spec.yaml", "--until", "data", cwd=root)


def write_lines(root: Path, *lines: str) -> None:
    (root / "corpus").mkdir()
    (root / "corpus" / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_the_texts_of_all_lines_become_tokens(tmp_path: Path, leangen: Leangen) -> None:
    texts = [f"number {number}, é\n" * 9 for number in range(200)]
    write_lines(tmp_path, *(json.dumps({"id": 1, "body": text}) for text in texts))
    done = data_of(tmp_path, leangen)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "generated" / "lines" / "artifacts" / "data"
    splits = [np.load(folder / f"{split}.npy") for split in ("train", "val", "test")]
    tokens = np.concatenate(splits)
    assert sum(tokens < 256) == sum(len(text.encode()) for text in texts)


def test_a_line_without_the_name_is_an_error_with_its_place(
    tmp_path: Path, leangen: Leangen
) -> None:
    write_lines(tmp_path, '{"body": "good"}', '{"text": "bad"}')
    done = data_of(tmp_path, leangen)
    assert done.returncode == 1
    assert "a.jsonl:2 is no JSON object with a text under body" in done.stderr
