"""leangen init --checkpoint: a spec for a model's folder, with what the plan says fits."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen.spec import load

Leangen = Callable[..., subprocess.CompletedProcess[str]]
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}


def write_model(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | fields))
    return folder


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("Llama-3.1_8B", "spec.yaml", "llama-3-1-8b"),
        ("models/it's {odd}: #1", "specs/a.yaml", "it-s-odd-1"),
        ("日本", "spec.yaml", "model"),
        ("123", "spec.yaml", "123"),
        ("true", "spec.yaml", "true"),
        (".5", "spec.yaml", "5"),
        ("x" * 100, "spec.yaml", "x" * 63),
    ],
)
def test_what_it_writes_builds_as_it_is(
    folder: str, file: str, name: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / folder)
    done = leangen("init", "--checkpoint", folder, file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"wrote {file}: 8 bits, a context of 1024; next: " in done.stdout
    assert "longest context" in done.stdout
    done = leangen("build", file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "generated" / name / "serve.py").exists()


def test_its_comments_are_fields_that_build(tmp_path: Path, leangen: Leangen) -> None:
    write_model(tmp_path / "m")
    assert leangen("init", "--checkpoint", "m", cwd=tmp_path).returncode == 0
    file = tmp_path / "spec.yaml"
    lines = file.read_text().splitlines()
    start = lines.index("# data:")
    sections = [line.removeprefix("# ") for line in lines[start:]]
    words = [
        line for line in sections if not line.endswith(("are.", "dense.", "carries."))
    ]
    file.write_text("\n".join([*lines[:start], *words]))
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "generated" / "m" / "recover.py").exists()


def test_an_absolute_folder_stays_one(tmp_path: Path, leangen: Leangen) -> None:
    model = write_model(tmp_path / "models" / "m")
    (tmp_path / "here").mkdir()
    done = leangen("init", "--checkpoint", model, cwd=tmp_path / "here")
    assert done.returncode == 0
    assert f"checkpoint: {model} #" in (tmp_path / "here" / "spec.yaml").read_text()


def test_a_larger_model_gets_fewer_bits(tmp_path: Path, leangen: Leangen) -> None:
    """An 8B model: 8 bits are more than 6 GiB, 4 bits with a shorter context are not."""
    write_model(
        tmp_path / "m",
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
    )
    done = leangen("init", "--checkpoint", "m", "--json", cwd=tmp_path)
    fit = json.loads(done.stdout)
    if done.returncode == 0:
        assert "weights: 4 " in (tmp_path / "spec.yaml").read_text()
        assert fit["specs"][0]["file"] == "spec.yaml"
        assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    else:
        assert fit["diagnostics"][0]["code"] == "over-budget"
        assert not (tmp_path / "spec.yaml").exists()
    done = leangen(
        *("init", "--checkpoint", "m", "g.yaml", "--hardware", "h200"), cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 bits, a context of 4096" in done.stdout
    assert leangen("build", "g.yaml", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("hardware", "fields", "served"),
    [
        ("rtx-4060ti-16gb", {}, "torch"),
        ("x86-avx2", {}, "onnxruntime"),
        ("t4", {}, "onnxruntime"),  # which has no bf16
        ("rtx-4060ti-16gb", {"model_type": "qwen2"}, "torch"),
        ("h200", {"model_type": "qwen3", "head_dim": 32}, "torch"),
        ("h200", {"attention_bias": True}, "onnxruntime"),  # one of o_proj's, too
        ("h200", {"intermediate_size": 144}, "onnxruntime"),  # groups of 16
        ("h200", {"num_attention_heads": 36, "head_dim": 16}, "onnxruntime"),
    ],
)
def test_a_gpu_serves_what_its_engine_takes(
    hardware: str, fields: Any, served: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / "m", **fields)
    done = leangen("init", "--checkpoint", "m", "--hardware", hardware, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spec = load(tmp_path / "spec.yaml")
    assert spec.serve.engine == served
    assert ("serve" in spec.written) == (served == "onnxruntime")
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("hardware", "fields", "lacking"),
    [
        ("rtx-4060ti-16gb", {}, ""),
        ("h200", {"model_type": "qwen3", "head_dim": 32}, ""),
        ("t4", {}, "a GPU without bf16"),
        ("h200", {"model_type": "mixtral"}, "a mixture of experts"),
        ("h200", {"attention_bias": True}, "a bias of o_proj"),
        ("h200", {"head_dim": 288}, "heads wider than 256"),
    ],
)
def test_unasked_a_gpu_serves_or_the_plan_says_why_its_host_does(
    hardware: str, fields: Any, lacking: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / "m", **fields)
    target = f"target: {{hardware: {hardware}, context: 512}}\n"
    text = f"leangen: 1\nname: m\nmodel: {{checkpoint: ./m}}\n{target}"
    (tmp_path / "spec.yaml").write_text(text + "quantization: {weights: 4}\n")
    shown = leangen("plan", "spec.yaml", cwd=tmp_path).stdout
    engine, device = ("onnxruntime", "cpu") if lacking else ("torch", "cuda")
    assert f"{engine} on {device}, keys and values" in shown
    assert f"does not take {lacking}" in shown or not lacking
    assert ("whose GPU serves nothing" in shown) == bool(lacking)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    decoder = (tmp_path / "generated" / "m" / "decoder.py").read_text()
    assert ("onnxruntime" in decoder) == bool(lacking)
    told = leangen("explain", "serve.engine", "spec.yaml", cwd=tmp_path).stdout
    assert f"{engine}, which follows from the rest of the spec" in told


@pytest.mark.parametrize(
    ("written", "computed"),
    [
        ("", "float32"),
        ("train: {precision: bf16}\n", "bfloat16"),
    ],
)
def test_given_weights_are_measured_in_float32_unasked(
    written: str, computed: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / "m", dtype="bfloat16")
    text = "leangen: 1\nname: m\nmodel: {checkpoint: ./m}\nsparsity: {pattern: 2:4}\n"
    text += "target: {hardware: h200, context: 512}\n" + written
    (tmp_path / "spec.yaml").write_text(text)
    assert leangen("build", "spec.yaml", cwd=tmp_path).returncode == 0
    for script in ("prune.py", "instrument.py"):
        lines = (tmp_path / "generated" / "m" / script).read_text().splitlines()
        (dtype,) = [line for line in lines if line.startswith("DTYPE = ")]
        assert dtype.split()[2] == f"torch.{computed}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "nowhere"], "nowhere/config.json cannot be read: No such"),
        (["--checkpoint", "m", "--hardware", "abacus"], "no hardware 'abacus'"),
        (["--hardware", "h200"], "--hardware needs --checkpoint"),
        (["--checkpoint", "quantized"], "the weights are quantized already"),
        (["--checkpoint", "odd"], "32 nor 16 divide"),
        (
            ["--checkpoint", "yarn"],
            'rotary scaling of type "yarn" can be planned and not',
        ),
        (["--checkpoint", "m", "taken.yaml"], "taken.yaml exists"),
    ],
)
def test_what_goes_wrong_is_a_line(
    arguments: list[str], message: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / "m")
    write_model(tmp_path / "quantized", quantization_config={"quant_method": "gptq"})
    write_model(tmp_path / "odd", intermediate_size=100)
    scaling = {"rope_type": "yarn", "factor": 4.0}
    write_model(tmp_path / "yarn", rope_scaling=scaling)
    (tmp_path / "taken.yaml").write_text("")
    done = leangen("init", *arguments, cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "spec.yaml").exists()


@pytest.mark.parametrize(
    ("fields", "page", "message"),
    [
        ({"attention_bias": True}, {}, "model.checkpoint: a bias of o_proj, or of"),
        ({"mlp_bias": True}, {}, "model.checkpoint: a bias of o_proj, or of"),
        (
            {"model_type": "mistral", "sliding_window": 128},
            {},
            "target.context: a sliding window of 128 tokens in torch",
        ),
        (
            {},
            {"quantization": "{weights: 4, exceptions: {8: [0]}}"},
            "quantization.exceptions: matrices that differ in bits in torch",
        ),
        (
            {},
            {"quantization": "{weights: 4, group_size: 16}"},
            "quantization.group_size: groups of 16 in torch",
        ),
        ({}, {"train": "{hardware: x86-avx2}"}, "train.hardware: an engine in torch"),
        ({}, {"hardware": "t4"}, "target.hardware: a GPU without bf16 in torch"),
        ({}, {"hardware": "h200, batch: 300"}, "more than 256 sequences in torch"),
        ({"num_attention_heads": 20, "head_dim": 16}, {}, "more than 8 query heads"),
        ({"head_dim": 288}, {}, "heads wider than 256 in torch"),
    ],
)
def test_what_the_engine_of_a_gpu_lacks_is_said_with_the_way_out(
    fields: Any, page: dict[str, str], message: str, tmp_path: Path, leangen: Leangen
) -> None:
    write_model(tmp_path / "m", **fields)
    lines = {"quantization": "{weights: 4}", "hardware": "h200", **page}
    target = f"target: {{hardware: {lines.pop('hardware')}, context: 512}}"
    text = "leangen: 1\nname: m\nmodel: {checkpoint: ./m}\nserve: {engine: torch}\n"
    text += "\n".join([target, *(f"{name}: {value}" for name, value in lines.items())])
    (tmp_path / "spec.yaml").write_text(text)
    done = leangen("build", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "built can be" in done.stderr
