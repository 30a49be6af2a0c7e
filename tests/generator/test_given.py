"""What is built from a checkpoint speaks for it where its weights are not there."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Leangen = Callable[..., subprocess.CompletedProcess[str]]
SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": LLAMA3},
    "llama of transformers 5": {
        "model_type": "llama",
        "rope_parameters": {"rope_theta": 5e5} | LLAMA3,
    },
    "mistral": {"model_type": "mistral", "sliding_window": 64, "rope_theta": 1e4},
    "qwen2": {"model_type": "qwen2", "torch_dtype": "bfloat16", "rope_theta": 1e6},
    "qwen3": {"model_type": "qwen3", "dtype": "bfloat16", "head_dim": 32},
}
PAGE = """\
leangen: 1
name: given
model: {checkpoint: model}
quantization: {weights: 8}
target: {hardware: x86-2core, context: 128}
"""
TEMPLATE = "{% for m in messages %}\r\n{{ m.content }}{% endfor %}\r"


def project(root: Path, config: dict[str, Any]) -> Path:
    """Write a spec and the small files of its checkpoint: a build reads no weights."""
    model = root / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(SHAPE | config))
    (model / "generation_config.json").write_text('{"eos_token_id": [7, 2]}')
    named = {"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}}
    (model / "tokenizer_config.json").write_text(json.dumps(named))
    (model / "chat_template.jinja").write_bytes(TEMPLATE.encode())
    (root / "spec.yaml").write_text(PAGE)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_machine_without_the_weights_builds_the_same(
    kind: str, tmp_path: Path, leangen: Leangen
) -> None:
    root = project(tmp_path, CONFIGS[kind])
    assert leangen("build", "spec.yaml", "--out", "out", cwd=root).returncode == 0
    built = contents(root / "out" / "given")
    shutil.rmtree(root / "model")
    for verb in ("check", "diff", "plan", "build"):
        done = leangen(verb, "spec.yaml", "--out", "out", cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
    for script in (root / "out" / "given").glob("*.py"):
        script.unlink()
    assert leangen("build", "spec.yaml", "--out", "out", cwd=root).returncode == 0
    assert contents(root / "out" / "given") == built
    assert b"END_TOKENS = [\n    2,\n    7,\n]" in built["vocabulary.py"]
    assert b'EOS_TOKEN = "</s>"' in built["chat_template.py"]
    assert b"\r" not in built["chat_template.jinja"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("config.json", '"hidden_size": 64', '"hidden_size": 128'),
        ("generation_config.json", "7, 2", "7, 9, 2"),
        ("tokenizer_config.json", "<s>", "<bos>"),
        ("chat_template.jinja", "m.content", "m.role"),
    ],
)
def test_where_the_folder_is_there_the_two_must_agree(
    name: str, before: str, after: str, tmp_path: Path, leangen: Leangen
) -> None:
    root = project(tmp_path, CONFIGS["llama"])
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    assert leangen("check", "spec.yaml", cwd=root).returncode == 0
    file = root / "model" / name
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    assert leangen("check", "spec.yaml", cwd=root).returncode == 1


def test_an_edited_copy_does_not_pass_unseen(tmp_path: Path, leangen: Leangen) -> None:
    root = project(tmp_path, CONFIGS["llama"])
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    shutil.rmtree(root / "model")
    copy = root / "generated" / "given" / "chat_template.jinja"
    copy.write_text("{{ 'another' }}")
    done = leangen("check", "spec.yaml", cwd=root)
    assert done.returncode == 1


def test_without_either_the_folder_is_named(tmp_path: Path, leangen: Leangen) -> None:
    root = project(tmp_path, CONFIGS["llama"])
    shutil.rmtree(root / "model")
    done = leangen("plan", "spec.yaml", cwd=root)
    assert done.returncode == 2
    assert (
        "spec.yaml:3:21: model.checkpoint: model/config.json cannot be" in done.stderr
    )


def test_a_name_is_no_way_to_files_elsewhere(tmp_path: Path, leangen: Leangen) -> None:
    root = project(tmp_path, CONFIGS["llama"])
    shutil.move(root / "model", root / "elsewhere")
    text = PAGE.replace("name: given", "name: ../elsewhere")
    (root / "spec.yaml").write_text(text)
    done = leangen("plan", "spec.yaml", cwd=root)
    assert done.returncode == 2
    assert "model/config.json cannot be read" in done.stderr


def test_a_checkpoint_without_a_template_has_no_chat(
    tmp_path: Path, leangen: Leangen
) -> None:
    root = project(tmp_path, CONFIGS["llama"])
    (root / "model" / "chat_template.jinja").unlink()
    assert leangen("build", "spec.yaml", cwd=root).returncode == 0
    built = contents(root / "generated" / "given")
    assert not {"chat.py", "chat_template.py", "tokenizer_config.json"} & built.keys()
    assert b"jinja2" not in b"".join(built.values())
    assert b"chat" not in built["api.py"] + built["serve.py"]
