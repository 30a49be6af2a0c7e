"""Weights that are not what config.json says stop leangen before any script runs."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leangen.spec import LeangenError, load
from leangen.spec.catalogue.models import MODEL_TYPES
from leangen.spec.catalogue.shape import shape_of
from leangen.spec.spec import Model
from leangen.spec.weights.tensors import tensors_of
from tests.conftest import Leangen

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
PAGE = """\
leangen: 1
name: given
model: {checkpoint: model}
target: {hardware: x86-2core, context: 128}
serve: {device: cpu}
"""
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
EMBEDDING = "model.embed_tokens.weight"
UP = "model.layers.1.mlp.up_proj.weight"
Table = dict[str, Any]


def shapes(config: dict[str, Any] = SMALL) -> dict[str, tuple[int, ...]]:
    return dict(tensors_of(Model(**shape_of(config))))


def table_of(names: list[str]) -> Table:
    table, end = {}, 0
    for name in names:
        shape = shapes()[name]
        size = 2 * shape[0] * (shape[1] if shape[1:] else 1)
        place = [end, end := end + size]
        table[name] = {"dtype": "F16", "shape": shape, "data_offsets": place}
    return table


def write(file: Path, table: Table | bytes) -> None:
    """Write a header, and behind it as many zeros as it speaks of."""
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    rows = {} if isinstance(table, bytes) else table
    size = max((row["data_offsets"][1] for row in rows.values()), default=0)
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole checkpoint, but for its values."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "spec.yaml").write_text(PAGE)
    (folder / "config.json").write_text(json.dumps(SMALL))
    (folder / "tokenizer.json").write_text("{}")
    write(folder / WHOLE, table_of(list(shapes())))
    return folder


def message(model: Path) -> str:
    """Load the spec: what it says of the weights is a line that points at model.checkpoint."""
    with pytest.raises(LeangenError) as caught:
        load(model.parent / "spec.yaml")
    (found,) = caught.value.diagnostics
    assert (found.line, found.path) == (3, "model.checkpoint")
    assert found.suggestion
    return f"{found.message}; {found.suggestion}"


def changed(model: Path, change: Callable[[Table], object]) -> str:
    table = table_of(list(shapes()))
    change(table)
    write(model / WHOLE, table)
    return message(model)


def move(table: Table, name: str, begin: int, end: int) -> None:
    table[name]["data_offsets"] = [begin, end]


def test_weights_that_fit_are_loaded_in_one_file_or_in_several(model: Path) -> None:
    assert load(model.parent / "spec.yaml").model.num_hidden_layers == 2
    shard(model)
    assert load(model.parent / "spec.yaml").model.num_hidden_layers == 2


def shard(model: Path) -> None:
    (model / WHOLE).unlink()
    names = list(shapes())
    places: dict[str, str] = {}
    for file, part in (("a.safetensors", names[:5]), ("b.safetensors", names[5:])):
        write(model / file, table_of(part))
        places |= dict.fromkeys(part, file)
    (model / INDEX).write_text(json.dumps({"weight_map": places}))


def test_a_folder_without_weights_can_be_planned(model: Path) -> None:
    (model / WHOLE).unlink()
    assert load(model.parent / "spec.yaml").model.num_hidden_layers == 2


CHANGES: dict[str, tuple[Callable[[Table], object], str]] = {
    "missing": (lambda t: t.popitem(), "is not in"),
    "other-shape": (
        lambda t: t[UP].update(shape=[64, 96]),
        f"{UP} in {{file}} is [64, 96], and [96, 64] by config.json",
    ),
    "other-type": (
        lambda t: t[EMBEDDING].update(dtype="F8_E4M3", shape=[512, 128]),
        f"{EMBEDDING} in {{file}} is F8_E4M3, not F32, F16, BF16",
    ),
    "unknown": (
        lambda t: t.update(
            {"extra": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}}
        ),
        "extra in {file} is nothing that config.json speaks of",
    ),
    "negative": (
        lambda t: move(t, EMBEDDING, -2, 65534),
        "makes no sense at model.embed",
    ),
    "overlap": (lambda t: move(t, UP, 0, 12288), "does not lie where it could"),
    "no-size": (lambda t: t[UP].update(shape=None), f"makes no sense at {UP}"),
    "long-shape": (lambda t: t[UP].update(shape=[1] * 10**4), "makes no sense"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_header_that_contradicts_config_json(name: str, model: Path) -> None:
    change, expected = CHANGES[name]
    assert expected.format(file=model / WHOLE) in changed(model, change)


@pytest.mark.parametrize(
    "header",
    [b"[" * 10**5, b'{"a":' * 10**5, b"{}x", b"[]", b'{"a": 1}', b"\xff\xfe", b""],
    ids=["lists", "objects", "more", "list", "number", "not-text", "none"],
)
def test_a_header_may_hold_anything(header: bytes, model: Path) -> None:
    write(model / WHOLE, header)
    found = message(model)
    assert f"{model / WHOLE} is" in found and found.endswith("fetch the model again")


@pytest.mark.parametrize("length", [0, 2**20, 2**40, 2**64 - 1])
def test_a_header_may_claim_any_length(length: int, model: Path) -> None:
    content = (model / WHOLE).read_bytes()
    (model / WHOLE).write_bytes(struct.pack("<Q", length) + content[8:])
    assert "is no safetensors file, or is cut off" in message(model)


def test_a_file_that_is_cut_off(model: Path) -> None:
    content = (model / WHOLE).read_bytes()
    (model / WHOLE).write_bytes(content[:-100])
    assert "is cut off: 254,592 bytes of weights belong there" in message(model)
    (model / WHOLE).write_bytes(content + b"more")
    assert "is damaged: 254,592 bytes of weights belong there" in message(model)
    (model / WHOLE).write_bytes(content[:5])
    assert "is no safetensors file" in message(model)


def test_what_git_left_of_a_large_file(model: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (model / WHOLE).write_text(pointer)
    assert "holds a pointer of Git LFS; run git lfs pull" in message(model)


def test_a_shard_that_is_missing_or_twice_there(model: Path) -> None:
    shard(model)
    content = (model / "b.safetensors").read_bytes()
    (model / "b.safetensors").unlink()
    assert f"{model / 'b.safetensors'} is missing" in message(model)
    (model / "b.safetensors").write_bytes(content)
    write(model / "a.safetensors", table_of(list(shapes())))
    assert "is both in a.safetensors and in" in message(model)


@pytest.mark.parametrize("name", ["../b.safetensors", "/etc/passwd", "", ".", 1, None])
def test_an_index_names_files_beside_it(name: Any, model: Path) -> None:
    shard(model)
    (model / INDEX).write_text(json.dumps({"weight_map": {EMBEDDING: name}}))
    assert "not a file beside it" in message(model)


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": []}', "{}", "[" * 10**5])
def test_an_index_may_hold_anything(text: str, model: Path) -> None:
    (model / INDEX).write_text(text)
    assert f"{model / INDEX} is damaged" in message(model)


def test_pickles_are_never_loaded(model: Path) -> None:
    (model / WHOLE).rename(model / "pytorch_model.bin")
    found = message(model)
    assert "pytorch_model.bin is a pickle" in found and "save_pretrained" in found


def test_weights_come_with_their_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in message(model)


def test_biases_that_config_json_is_silent_of(model: Path) -> None:
    config = SMALL | {"attention_bias": True}
    (model / "config.json").write_text(json.dumps(config))
    found = message(model)
    assert "self_attn.q_proj.bias, of which config.json speaks, is not in" in found


@pytest.mark.parametrize("kind", MODEL_TYPES)
@pytest.mark.parametrize("tied", [False, True])
def test_names_and_shapes_are_those_of_transformers(kind: str, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    fields = {name: value for name, value in SMALL.items() if name != "model_type"}
    biases = {"attention_bias": True} if kind in ("llama", "qwen3", "qwen3_moe") else {}
    biases |= {"mlp_bias": True} if kind == "llama" else {}
    experts = {"num_local_experts": 3, "num_experts_per_tok": 2}
    moe = experts if kind in ("mixtral", "qwen3_moe") else {}
    own = {**fields, **biases, **moe, "head_dim": 8, "tie_word_embeddings": tied}
    if kind == "qwen2":
        del own["head_dim"]
    theirs = transformers.AutoConfig.for_model(kind, **own)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(theirs)
    ours = shapes({"model_type": kind, **own, **({"num_experts": 3} if moe else {})})
    assert sum(map(_count, ours.values())) == built.num_parameters()
    named = {name: tuple(p.shape) for name, p in built.named_parameters()}
    fused = {name for name in ours if ".experts." in name or ".gate." in name}
    if not moe:  # transformers fuses the experts in memory
        assert ours == named
    else:
        assert {
            n: s for n, s in ours.items() if n not in fused
        }.items() <= named.items()


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_scripts_have_the_same_names_and_shapes(
    kind: str, model: Path, leangen: Leangen
) -> None:
    (model / WHOLE).unlink()
    biases = {"attention_bias": True, "mlp_bias": True} if kind == "llama" else {}
    config = SMALL | {"model_type": kind, "head_dim": 16} | biases
    (model / "config.json").write_text(json.dumps(config))
    done = leangen("build", "spec.yaml", cwd=model.parent)
    assert done.returncode == 0, done.stderr
    code = "import architecture, json; print(json.dumps(architecture.tensor_shapes()))"
    folder = model.parent / "generated" / "given"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=folder)
    theirs = {name: tuple(shape) for name, shape in json.loads(printed).items()}
    assert theirs == shapes(config)


def _count(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if shape[1:] else 1)
