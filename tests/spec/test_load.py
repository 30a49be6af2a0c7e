"""What a valid spec becomes: defaults, texts that stay texts, places for later."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from leangen.spec import (
    LeangenError,
    Spec,
    diagnostic_at,
    engines,
    load,
    loads,
    machines,
    render,
    vary,
)
from leangen.spec import spec as dataclasses
from leangen.spec.catalogue.hardware import Hardware
from leangen.spec.catalogue.rope import RopeScaling
from leangen.spec.check.schema import SCHEMA_FILE, properties, schema

ROOT = SCHEMA_FILE.parents[1]
EXAMPLES = sorted((SCHEMA_FILE.parent / "examples").glob("*.yaml"))
MINIMAL = """\
leangen: 1
name: tiny
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 128
target: {hardware: x86-2core, context: 128}
"""


OF_SPEC, OF_SECTIONS = (
    {"engine", "written", "given", "document", "parts"},
    {"budget_given"},
)  # derived


def refused(text: str) -> list[str]:
    with pytest.raises(LeangenError) as caught:
        loads(text)
    return [diagnostic.path for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads(path: Path) -> None:
    assert load(path, ROOT / "generated").name == path.stem


def test_defaults_come_from_the_schema() -> None:
    spec = loads(MINIMAL)
    assert spec.train.tokens == 1_000_000
    assert spec.train.learning_rate == 1e-3
    assert spec.sparsity.pattern == "dense"
    assert spec.sparsity.recover is None
    assert spec.quantization.weights == 8
    assert spec.data.path == ()
    assert spec.serve.port == 8000
    assert spec.gates.perplexity_ratio is None


def test_defaults_that_depend_on_other_fields() -> None:
    spec = loads(MINIMAL)
    assert spec.train.hardware == machines()["x86-2core"]
    assert (spec.serve.device, spec.quantization.kv_cache) == ("cpu", 32)
    assert spec.model.num_key_value_heads == 4
    assert spec.model.head_dim == 16
    assert spec.target.vram_budget == machines()["x86-2core"].usable_bytes
    assert spec.tokenizer.vocab_size == 257


def test_the_engine_is_resolved_and_a_budget_knows_its_author() -> None:
    spec = loads(MINIMAL)
    assert spec.engine is engines()["onnxruntime-cpu"]
    assert not spec.target.budget_given
    own = loads(MINIMAL.replace("context: 128", "context: 128, vram_budget: 1GiB"))
    assert own.target.budget_given
    varied = vary(own, {"serve.engine": "llama.cpp", "quantization.kv_cache": 16})
    assert varied is not None and varied.engine.id == "llama.cpp-cpu"


@pytest.mark.parametrize(
    ("hardware", "more", "engine", "precision"),
    [
        ("x86-2core", "", "onnxruntime-cpu", "float32"),
        ("rtx-3090", "", "torch-cuda", "bf16"),
        ("t4", "", "onnxruntime-cpu", "float32"),
        ("rtx-3090", "serve: {device: cpu}", "onnxruntime-cpu", "bf16"),
        ("rtx-3090", "serve: {engine: onnxruntime}", "onnxruntime-cpu", "bf16"),
        ("t4", "serve: {device: cuda}", "torch-cuda", "float32"),
        ("t4", "serve: {engine: llama.cpp}", "llama.cpp-cuda", "float32"),
        ("rtx-3090", "train: {hardware: x86-avx2}", "torch-cuda", "float32"),
        ("x86-2core", "train: {hardware: h200}", "onnxruntime-cpu", "bf16"),
        ("h200", "train: {precision: float32}", "torch-cuda", "float32"),
    ],
)
def test_engine_and_precision_follow_from_the_hardware(
    hardware: str, more: str, engine: str, precision: str
) -> None:
    spec = loads(MINIMAL.replace("x86-2core", hardware) + more)
    assert (spec.engine.id, spec.train.precision) == (engine, precision)
    assert f"{spec.serve.engine}-{spec.serve.device}" == engine


def test_a_gpu_is_left_for_its_card_and_its_model_alone() -> None:
    """Bits that its engine does not have move no server to a CPU."""
    spec = loads(MINIMAL.replace("x86-2core", "h200"))
    assert vary(spec, {"quantization.weights": 2}) is None
    narrow = {"model.num_attention_heads": 16, "model.num_key_value_heads": 1}
    changes = {**narrow, "model.hidden_size": 128}
    varied = vary(spec, changes)
    assert varied is not None and varied.engine.id == "onnxruntime-cpu"


def test_a_section_that_is_there_is_filled() -> None:
    spec = loads(f"{MINIMAL}sparsity: {{pattern: 2:4, recover: {{}}}}\n")
    assert spec.sparsity.kept == (2, 4)
    assert spec.sparsity.recover is not None
    assert spec.sparsity.recover.tokens == 1_000_000


@pytest.mark.parametrize("name", ["no", "on", "1e3", "0x10", "007", "true"])
def test_what_the_schema_calls_text_stays_as_written(name: str) -> None:
    assert loads(MINIMAL.replace("tiny", name)).name == name


def test_numbers_take_their_type_from_the_schema() -> None:
    text = f"{MINIMAL}train: {{tokens: 2e6, learning_rate: 1, batch_size: 4.0}}\n"
    train = loads(text).train
    assert [train.tokens, train.learning_rate, train.batch_size] == [2_000_000, 1, 4]
    assert isinstance(train.tokens, int)
    assert isinstance(train.learning_rate, float)
    assert isinstance(train.batch_size, int)


def test_one_text_is_a_list_of_one() -> None:
    both = loads(f"{MINIMAL}data: {{source: text, path: 123, out_of_sample: [a, b]}}\n")
    assert both.data.path == ("123",)
    assert both.data.out_of_sample == ("a", "b")


def test_quantities_and_vocabularies_are_read() -> None:
    text = MINIMAL.replace("context: 128", "context: 0.125k, vram_budget: 1.5GiB")
    spec = loads(f"{text}tokenizer: {{bpe: 4096}}\n")
    assert spec.target.context == 128
    assert spec.target.vram_budget == 3 * 2**29
    assert (spec.tokenizer.kind, spec.tokenizer.vocab_size) == ("bpe", 4096)


def test_an_alias_repeats_a_value() -> None:
    text = MINIMAL.replace("embeddings: 128", "embeddings: &length 128")
    assert loads(text.replace("context: 128", "context: *length")) == loads(MINIMAL)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    windows = b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()
    assert loads(windows) == loads(MINIMAL)


def test_a_misspelt_name_is_reported_once_and_hides_nothing() -> None:
    text = MINIMAL.replace("hidden_size: 64", "hiden_size: 64")
    assert refused(text) == ["model.hiden_size"]
    unsure = f"{MINIMAL}sparsity: {{patern: 2:4, recover: {{}}}}\n"
    assert refused(unsure) == ["sparsity.patern"]


def test_schema_errors_and_contradictions_come_together() -> None:
    text = MINIMAL.replace("context: 128", "context: 512").replace("tiny", "Tiny")
    assert refused(text) == ["name", "target.context"]


def test_one_wrong_value_is_one_error() -> None:
    assert refused(
        MINIMAL.replace("heads: 4", "heads: 3\n  num_key_value_heads: 2")
    ) == ["model.num_attention_heads"]


def test_the_dataclasses_mirror_the_schema() -> None:
    mirrored = set(properties(schema())) - {"leangen", "custom_hardware"}
    assert {field.name for field in fields(Spec)} == mirrored | OF_SPEC
    for name, kind in get_type_hints(Spec).items():
        own = name in mirrored and kind is not dataclasses.Tokenizer
        if own and is_dataclass(kind):
            assert_mirrors(kind, properties(schema())[name])


def assert_mirrors(kind: Any, section: Any) -> None:
    names = {field.name for field in fields(kind)} - OF_SECTIONS
    written = set(properties(section))
    assert names >= written
    assert names == written or kind is dataclasses.Model  # config.json says more
    for name, hint in get_type_hints(kind).items():
        inner = {part for part in get_args(hint) if is_dataclass(part)}
        for part in inner - {Hardware, RopeScaling}:  # rows of catalogues
            assert_mirrors(part, properties(section)[name])


def test_a_later_finding_points_at_its_field() -> None:
    spec = loads(MINIMAL)
    found = diagnostic_at(spec, "target.context", "fit", "needs 3 GiB", "lower it")
    assert (found.line, found.column, found.code) == (10, 40, "fit")
    assert render(found).endswith("| " + " " * 39 + "^^^ lower it")
    above = diagnostic_at(spec, "train.tokens", "fit", "too slow")
    assert (above.line, above.column, above.path) == (1, 1, "train.tokens")


@pytest.mark.parametrize(
    ("host", "good"),
    [
        *(
            ("localhost", 1),
            ("a.b-c.example", 1),
            ("0.0.0.0", 1),
            ("::", 1),
            ("::1", 1),
        ),
        *(("fe80::1.2.3.4", 1), ("x" * 63, 1), ("1a", 1), ("255.255.255.255", 1)),
        *(("1.2.3", 0), ("1.2.3.256", 0), ("1.2.3.04", 0), ("1.2.3.4.5", 0), ("7", 0)),
        *(("fe80::1%eth0", 0), ("1::2::3", 0), ("a..b", 0), (".", 0), ("a.", 0)),
        *(
            ("-a", 0),
            ("x" * 64, 0),
            ("a b", 0),
            ("\u0663.1.1.1", 0),
            ("1.1.1.\u0663", 0),
        ),
    ],
)
def test_a_server_listens_on_an_address(host: str, good: int) -> None:
    page = f"{MINIMAL}serve: {{host: '{host}'}}\n"
    if good:
        assert loads(page).serve.host == host
    else:
        assert refused(page) == ["serve.host"]
