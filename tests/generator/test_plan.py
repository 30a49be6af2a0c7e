"""The plan's figures, held against transformers, published tables, and our own files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leangen.generator.plan import Plan, plan
from leangen.generator.plan.ledger import ITEMS
from leangen.generator.plan.parameters import count
from leangen.generator.plan.storage import Cache
from leangen.generator.plan.suggest import suggestions
from leangen.generator.plan.table import table
from leangen.generator.render.build import build
from leangen.generator.render.not_yet import not_yet
from leangen.spec import engines, load, loads, machines, vary
from leangen.spec.catalogue.models import presets
from leangen.spec.catalogue.shape import shape_of
from leangen.spec.defaults import with_model
from leangen.spec.spec import Model

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "spec" / "examples").glob("*.yaml"))
FACTS = ROOT / "tests" / "facts"
PUBLISHED = yaml.safe_load((FACTS / "models.yaml").read_text())


def model_of(config: Mapping[str, Any]) -> Model:
    return Model(**shape_of(config))


def in_transformers(config: dict[str, Any]) -> int:
    """Count the parameters of a config.json as transformers does, without weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        made = transformers.AutoModelForCausalLM.from_config(made)
        return int(made.num_parameters())


@pytest.mark.parametrize("name", presets())
def test_presets_have_the_published_parameters(name: str) -> None:
    assert count(model_of(presets()[name])).total == presets()[name]["parameters"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    fact, model = PUBLISHED[name], model_of(presets()[name])
    counts = count(model)
    assert counts.total == fact["parameters"]
    assert counts.active_total == fact.get("active_parameters", fact["parameters"])
    kept = Cache(model, engines()["torch-cuda"], bits=16).bytes_per_token
    assert kept == fact["kv_bytes_per_token"]


SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
        {"model_type": "llama", "head_dim": 32, "tie_word_embeddings": True},
        {"model_type": "mistral", "head_dim": 24},
        {"model_type": "qwen2", "tie_word_embeddings": True},
        {"model_type": "qwen3", "head_dim": 32},
        {"model_type": "qwen3", "attention_bias": True},
        {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
        {
            "model_type": "qwen3_moe",
            "head_dim": 16,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 48,
            "mlp_only_layers": [1],
        },
        {
            "model_type": "qwen3_moe",
            "head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 48,
            "decoder_sparse_step": 2,
        },
    ],
    ids=str,
)
def test_counts_are_those_of_transformers(config: dict[str, Any]) -> None:
    config = SMALL | config
    assert count(model_of(config)).total == in_transformers(config)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_parameters_are_counted_as_transformers_counts_them(example: Path) -> None:
    spec = load(example, ROOT / "generated")
    model = spec.model
    config = {name: getattr(model, name) for name in SMALL}
    config |= {"model_type": "llama", "tie_word_embeddings": model.tie_word_embeddings}
    assert plan(spec).parameters == in_transformers(config)


@pytest.mark.parametrize("name", ["pipeline", "bpe_pipeline"])
def test_exported_bytes_are_what_export_writes(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    spec = load(folder.parents[1] / "spec.yaml")
    data = (folder / "artifacts" / "onnx" / "model.onnx.data").read_bytes()
    # Tensors start on pages; norms lie in the graph.
    norms = 4 * spec.model.hidden_size * (2 * spec.model.num_hidden_layers + 1)
    matrices = 7 * spec.model.num_hidden_layers + 1
    padding = 4096 * (2 * matrices + 1)
    assert 0 <= len(data) - (plan(spec).exported_bytes - norms) < padding


# llama.cpp's own files: https://huggingface.co sizes by way of its quantize README.
@pytest.mark.parametrize(
    ("preset", "bits", "size"),
    [("tinyllama-1.1b", 4, 635_990_016), ("llama-2-7b", 8, None)],
)
def test_llama_cpp_files_have_their_size_to_the_byte(
    preset: str, bits: int, size: int
) -> None:
    planned = plan(
        page(preset, quantization={"weights": bits}, serve={"engine": "llama.cpp"})
    )
    if size is None:  # 8.5 bits a weight in Q8_0, norms in float32
        counts = count(model_of(presets()[preset]))
        matrices = counts.total - counts.small
        size = matrices * 17 // 16 + 4 * counts.small
    assert planned.exported_bytes == size


def page(preset: str, **sections: Any) -> Any:
    """A spec of a published model, which is as small as it can be."""
    made = {
        "leangen": 1,
        "name": "example",
        "model": {"preset": preset, "max_position_embeddings": 4096},
        "train": {"tokens": 10**9, "batch_size": 8, "hardware": "h200"},
        "target": {"hardware": "rtx-3090", "context": 2048},
        **sections,
    }
    return loads(yaml.safe_dump(made))


MEASURED = [
    (model, exported, gib)
    for page in yaml.safe_load((FACTS / "measured_memory.yaml").read_text())
    for model, measured in page["gib"].items()
    for exported, gib in measured.items()
]
FORMATS = {
    "BF16": 16,
    "FP8": 8,
    "GPTQ-Int8": 8,
    "GPTQ-Int4": 4,
    "AWQ": 4,
    "AWQ-INT4": 4,
}
UNTIED = ("FP8", "AWQ", "AWQ-INT4")  # these exports store a tied head all the same


def error_of(model: str, exported: str, gib: float) -> float:
    """Compare weights and KV cache of the plan with what was measured of generation."""
    bits = FORMATS[exported]
    groups = {"group_size": 128} if bits < 16 else {}
    spec = page(
        model,
        quantization={"weights": bits, **groups},
        serve={"engine": "vllm"},  # whose formats these are
        target={"hardware": "b200", "context": 2048},
    )
    spec = replace(spec, target=replace(spec.target, context=1 + 2048))
    if exported in UNTIED:
        untied = replace(spec.model, tie_word_embeddings=False)
        spec = replace(spec, model=untied)
    kept = {"weights", "scales", "embeddings", "norms", "kv_cache"}
    ledger = plan(spec).stages["serve"].ledger
    held = sum(item.bytes for item in ledger if item.item in kept)
    return float(held / 2**30 / gib - 1)


@pytest.mark.parametrize(("model", "exported", "gib"), MEASURED)
def test_weights_and_cache_are_what_was_measured_elsewhere(
    model: str, exported: str, gib: float
) -> None:
    """Qwen's published peaks."""
    assert abs(error_of(model, exported, gib)) < 0.05


def test_the_cache_of_a_32b_model_is_the_known_eight_gibibytes() -> None:
    spec = page("qwen2.5-32b", serve={"engine": "vllm"})
    planned = plan(replace(spec, target=replace(spec.target, context=32768)))
    ledger = {item.item: item.bytes for item in planned.stages["serve"].ledger}
    assert ledger["kv_cache"] == 8 * 2**30


def test_a_sliding_window_is_held_where_the_engine_can_and_the_context_elsewhere() -> (
    None
):
    for engine, rows in (("onnxruntime", 4096 + 256), ("llama.cpp", 32768)):
        spec = page("mistral-7b-v0.1", serve={"engine": engine, "device": "cpu"})
        long = replace(spec, target=replace(spec.target, context=32768))
        ledger = {i.item: i.bytes for i in plan(long).stages["serve"].ledger}
        bits = spec.quantization.kv_cache
        assert ledger["kv_cache"] == rows * 2 * 32 * 8 * 128 * bits // 8


def test_a_cache_of_8_bits_has_a_scale_for_each_channel_and_is_suggested() -> None:
    """ONNX Runtime takes float32 scales of (K, D), for keys and for values of a layer."""
    serve = {"engine": "onnxruntime", "device": "cpu"}
    target = {"hardware": "x86-2core", "context": 4096}
    given = {"preset": "llama-3.2-1b"}
    sections = {"model": given, "train": {}, "serve": serve, "target": target}
    whole = page("", quantization={"weights": 8}, **sections)
    narrow = vary(whole, {"quantization.kv_cache": 8})
    assert narrow
    served = plan(narrow).stages["serve"]
    ledger = {item.item: item.bytes for item in served.ledger}
    assert ledger["kv_cache"] == 2 * 16 * 8 * 64 * (4096 + 4)
    tight = vary(whole, {"target.vram_budget": served.peak_bytes})
    assert tight and not plan(tight).fits
    found = [dict(suggested.change) for suggested in suggestions(tight, plan(tight))]
    assert {"quantization.kv_cache": 8} in found


def test_a_smaller_budget_makes_smaller_micro_batches() -> None:
    text = (ROOT / "spec" / "examples" / "demo.yaml").read_text()
    text = text.replace("batch_size: 8", "batch_size: 64")
    sizes: list[Any] = []
    budget = 4 * 2**30
    for _ in range(3):
        changed = text.replace("vram_budget: 2GiB", f"vram_budget: {budget}")
        stage = plan(loads(changed)).stages["train"]
        sizes.append((stage.constants["micro_batch"], stage.constants["checkpointing"]))
        budget = stage.peak_bytes - 1
    assert sizes[0] == (64, False)
    assert sizes[1][0] < 64
    assert sizes[2][0] < sizes[1][0]


def test_layers_are_recomputed_where_nothing_else_fits() -> None:
    spec = page(
        "llama-3.2-1b",
        train={"tokens": 10**9, "batch_size": 8, "precision": "float32"},
        target={"hardware": "h200", "context": 2048},
    )
    roomy = plan(spec).stages["train"].constants
    small = vary(spec, {"target.vram_budget": 40 * 2**30})
    assert small
    tight = plan(small).stages["train"].constants
    assert (roomy["checkpointing"], tight["checkpointing"]) == (False, True)


# Specs to vary: what is planned must hold for all of them.
STAGED = st.fixed_dictionaries(
    {
        "engine": st.sampled_from([None, "torch", "vllm", "llama.cpp"]),
        "weights": st.sampled_from([4, 8, 16]),
        "batch": st.integers(1, 9),
        "context": st.integers(1, 256).map(lambda n: 16 * n),
        "pattern": st.sampled_from(["dense", "2:4", "unstructured"]),
        "preset": st.sampled_from(["llama-3.2-1b", "qwen3-0.6b", "qwen2.5-0.5b"]),
        "distill": st.booleans(),
        "precision": st.sampled_from(["bf16", "float32"]),
        "batch_size": st.sampled_from([1, 6, 8]),
        "hardware": st.sampled_from(["rtx-3060-12gb", "h200", "a10g"]),
    }
)


def staged(choice: dict[str, Any]) -> Any:
    sparsity: dict[str, Any] = {"pattern": choice["pattern"]}
    if choice["pattern"] != "dense":
        sparsity["recover"] = {"tokens": 10**6, "distill": choice["distill"]}
    if choice["pattern"] == "unstructured":
        sparsity["ratio"] = 0.5
    return page(
        choice["preset"],
        train={
            "tokens": 10**9,
            "batch_size": choice["batch_size"],
            "precision": choice["precision"],
            "hardware": "h200",
        },
        sparsity=sparsity,
        quantization={"weights": choice["weights"]},
        target={
            "hardware": choice["hardware"],
            "context": choice["context"],
            "batch": choice["batch"],
        },
        serve={"engine": choice["engine"]} if choice["engine"] else {},
    )


def peaks(planned: Plan) -> dict[str, int]:
    return {name: stage.peak_bytes for name, stage in planned.stages.items()}


@settings(max_examples=60, deadline=None)
@given(STAGED)
def test_the_items_add_up_and_have_their_names(choice: dict[str, Any]) -> None:
    for stage in plan(staged(choice)).stages.values():
        assert stage.peak_bytes == sum(item.bytes for item in stage.ledger)
        names = [item.item for item in stage.ledger]
        assert len(set(names)) == len(names)
        assert set(names) <= set(ITEMS)
        assert all(item.formula and item.source for item in stage.ledger)


@settings(max_examples=60, deadline=None)
@given(
    STAGED,
    st.sampled_from(
        ["context", "batch", "weights", "kv_cache", "batch_size", "max_position"]
    ),
)
def test_more_never_takes_less(choice: dict[str, Any], what: str) -> None:
    spec = staged(choice)
    # ONNX Runtime holds 16 bits as 32, and their file beside them.
    assume(what != "weights" or spec.quantization.weights < 16)
    held = spec.quantization.kv_cache
    larger = {
        "context": {"target.context": spec.target.context + 16},
        "batch": {"target.batch": spec.target.batch + 1},
        "weights": {"quantization.weights": 2 * spec.quantization.weights},
        "kv_cache": {"quantization.kv_cache": held},
        "batch_size": {"train.batch_size": 2 * spec.train.batch_size},
        "max_position": {"model.max_position_embeddings": 4096 + 1024},
    }[what]
    if what == "kv_cache":
        fewer = [bits for bits in (4, 8) if bits < held]
        smaller = [vary(spec, {"quantization.kv_cache": bits}) for bits in fewer]
        pairs = [(plan(s), plan(spec)) for s in smaller if s]
    else:
        changed = vary(spec, larger)
        pairs = [(plan(spec), plan(changed))] if changed else []
    assume(pairs)
    for less, more in pairs:
        # The micro-batch is decided anew, and other bits are exported in another way.
        stages = set(peaks(less)) & set(peaks(more))
        if what in ("batch_size", "max_position"):
            stages -= {"train", "recover", "prune"}
        if what == "weights":
            stages -= {"export"}
            if spec.engine.widens and spec.quantization.weights == 16:
                stages -= {"serve"}  # floats of 32 bits need no room to be widened in
        for stage in stages:
            assert peaks(less)[stage] <= peaks(more)[stage], stage


@settings(max_examples=25, deadline=None)
@given(STAGED, st.integers(1, 60))
def test_suggestions_fit_and_a_smaller_step_does_not(
    choice: dict[str, Any], gibibytes: int
) -> None:
    spec = vary(staged(choice), {"target.vram_budget": gibibytes * 2**29})
    assume(spec)
    assert spec
    planned = plan(spec)
    assume(not planned.fits)
    for found in suggestions(spec, planned):
        changed = vary(spec, found.change)
        assert changed is not None
        after = plan(changed)
        assert after.fits
        assert after.stages[found.stage].peak_bytes == found.peak_bytes
        for path, value in found.change.items():
            less = one_step_less(spec, path, value)
            if less is not None:
                varied = vary(spec, {**found.change, **less})
                assert varied is None or not plan(varied).fits, (path, value)


def one_step_less(spec: Any, path: str, value: Any) -> dict[str, Any] | None:
    """The value of a field that is one step nearer to what the spec says."""
    if path == "target.context":
        step = 1024 if value >= 1024 else 16
        return {path: min(spec.target.context, value + step)}
    if path == "target.batch":
        return {path: value + 1}
    if path == "train.batch_size":
        halves = [spec.train.batch_size >> n for n in range(17)]
        return {path: halves[halves.index(value) - 1]}
    if path == "quantization.kv_cache":
        engine = engines()[f"{spec.serve.engine}-{spec.serve.device}"]
        return {path: min(b for b in engine.kv_cache if b > value)}
    if path == "quantization.weights":
        return {path: 2 * value}
    if path == "quantization.group_size":
        return {path: value // 2}
    if path == "target.vram_budget":
        return {path: value - (2**30 if value > 4 * 2**30 else 64 * 2**20)}
    if path == "target.hardware":
        rows = sorted(
            (r for r in machines().values() if r.kind == spec.target.hardware.kind),
            key=lambda row: row.usable_bytes,
        )
        more = [r for r in rows if r.usable_bytes > spec.target.hardware.usable_bytes]
        place = [row.id for row in more].index(value)
        return {path: more[place - 1].id} if place else None
    return None


def test_an_engine_without_a_kernel_saves_nothing_and_says_so() -> None:
    served = {}
    for pattern in ("dense", "2:4"):
        for engine in ("vllm", "torch"):
            spec = page(
                "llama-3.2-1b",
                sparsity={"pattern": pattern},
                quantization={"weights": 16},
                serve={"engine": engine},
            )
            planned = plan(spec)
            served[pattern, engine] = planned.stages["serve"].peak_bytes
            saves_nothing = [w for w in planned.warnings if "saves no bytes" in w]
            assert bool(saves_nothing) == ((pattern, engine) == ("2:4", "vllm"))
    assert served["dense", "vllm"] == served["2:4", "vllm"]
    matrices = count(model_of(presets()["llama-3.2-1b"])).matrices
    saved = served["dense", "torch"] - served["2:4", "torch"]
    assert saved == 2 * matrices - 2 * matrices * 9 // 16  # PyTorch's own factor


@pytest.mark.parametrize(
    ("ratio", "word"), [(0.5, "usual"), (0.6, "risky"), (0.7, "collapse")]
)
def test_the_share_of_zeros_is_placed(ratio: float, word: str) -> None:
    sparsity = {"pattern": "unstructured", "ratio": ratio}
    found = plan(page("llama-3.2-1b", sparsity=sparsity)).warnings
    assert any(word in warning and "arXiv" in warning for warning in found)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("ratio", [0.5, 0.7])
def test_published_figures_are_of_the_method_of_the_spec(
    method: str, ratio: float
) -> None:
    figures = {
        "magnitude": ("14.89", "48,419"),
        "wanda": ("6.42", "85.77"),
        "sparsegpt": ("6.51", "26.3"),
    }
    sparsity = {"pattern": "unstructured", "ratio": ratio, "method": method}
    (note,) = (
        warning
        for warning in plan(page("llama-3.2-1b", sparsity=sparsity)).warnings
        if "become zero" in warning
    )
    for other, shown in figures.items():
        assert (shown[ratio == 0.7] in note) == (other == method)
    assert f"; {method}," in note.lower()


@pytest.mark.parametrize(
    ("pattern", "first"),
    [({"pattern": "2:8", "steps": 3}, "25%"), ({"ratio": 0.8, "steps": 4}, "46%")],
)
def test_what_recovery_takes_of_the_weights_is_said(
    pattern: dict[str, Any], first: str
) -> None:
    sparsity = {"pattern": "unstructured", "recover": {}} | pattern
    notes = " ".join(plan(page("llama-3.2-1b", sparsity=sparsity)).warnings)
    assert f"steps, {first} of the weights, and recover.py the others" in notes


def test_the_table_of_fits_agrees_with_the_plan() -> None:
    spec = page("llama-3.2-1b", serve={"engine": "llama.cpp"})
    rows = table(spec)
    assert len(rows) == 4 * 3
    for row in rows:
        change = {
            "quantization.weights": row.weights,
            "quantization.kv_cache": row.kv_cache,
        }
        at = vary(spec, change | {"target.context": row.context})
        assert at is not None
        assert plan(at).stages["serve"].fits
        if row.context < 4096:
            past = vary(spec, change | {"target.context": row.context + 1024})
            assert past is not None
            assert not plan(past).stages["serve"].fits


def test_a_preset_gives_way_to_the_fields_beside_it() -> None:
    written = {"model": {"preset": "llama-3.2-1b", "num_hidden_layers": 2}}
    model = with_model({}, written, None)["model"]
    assert (model["num_hidden_layers"], model["hidden_size"]) == (2, 2048)


def test_a_shorter_training_sequence_is_found_above_the_context() -> None:
    """Lengths below the context break a rule: they must not end the search."""
    spec = page(
        "llama-3.2-1b",
        model={"preset": "llama-3.2-1b", "max_position_embeddings": 131072},
        train={"tokens": 10**9, "batch_size": 8, "hardware": "a10g"},
        target={"hardware": "a10g", "context": 4096},
    )
    smaller = vary(spec, {"model.num_hidden_layers": 4, "train.precision": "bf16"})
    assert smaller is not None
    planned = plan(smaller)
    assert not planned.fits
    found = [set(s.change) for s in suggestions(smaller, planned)]
    assert {"model.max_position_embeddings"} in found


def test_the_host_of_a_gpu_has_no_budget_and_no_bandwidth() -> None:
    text = (ROOT / "spec" / "examples" / "h200.yaml").read_text()
    spec = loads(f"{text}serve: {{device: cpu}}\n")
    stage = plan(spec).stages["serve"]
    assert (stage.place.device, stage.place.budget_bytes, stage.seconds) == (
        "cpu",
        None,
        None,
    )


def test_other_hardware_to_train_on_comes_before_another_target() -> None:
    spec = page(
        "llama-3.2-1b",
        train={"tokens": 10**9, "batch_size": 1},
        target={"hardware": "rtx-3060-12gb", "context": 2048},
    )
    planned = plan(spec)
    assert {name for name, stage in planned.stages.items() if not stage.fits} == {
        "train"
    }
    paths = [path for found in suggestions(spec, planned) for path in found.change]
    assert paths.index("train.hardware") < paths.index("target.hardware")


@pytest.mark.parametrize("distill", [False, True])
def test_layers_are_suggested_where_a_whole_models_recovery_does_not_fit(
    distill: bool,
) -> None:
    """Of an 8B on a card of 16 GiB: with its predictions, these are let go, too."""
    spec = page(
        "llama-3.1-8b",
        model={"preset": "llama-3.1-8b"},
        train={"precision": "bf16"},
        quantization={"weights": 4},
        sparsity={"pattern": "2:4", "recover": {"distill": distill}},
        serve={"engine": "vllm"},
        target={"hardware": "rtx-4060ti-16gb", "context": 2048},
    )
    planned = plan(spec)
    over = [name for name, stage in planned.stages.items() if not stage.fits]
    assert over == ["recover"]
    change: dict[str, Any] = {"sparsity.recover.scope": "layers"}
    change |= {"sparsity.recover.distill": False} if distill else {}
    first = suggestions(spec, planned)[0]
    assert first.change == change
    assert first.saved_bytes > 130 * 2**30


def test_a_gentler_pair_comes_before_a_cache_of_four_bits() -> None:
    spec = page(
        "qwen2.5-32b",
        model={"preset": "qwen2.5-32b"},
        train={},
        target={"hardware": "rtx-3090", "context": 32768},
        serve={"engine": "onnxruntime", "device": "cuda"},
    )
    spec = vary(spec, {"quantization.weights": 4})
    assert spec is not None
    changes = [dict(found.change) for found in suggestions(spec, plan(spec))]
    pair = {"quantization.kv_cache": 8, "quantization.group_size": 64}
    assert changes.index(pair) + 1 == changes.index({"quantization.kv_cache": 4})


def test_a_server_beside_an_idle_gpu_is_noted() -> None:
    for serve, noted in (({"engine": "llama.cpp", "device": "cpu"}, True), ({}, False)):
        model = {"preset": "llama-3.2-1b"}
        notes = plan(page("", model=model, train={}, serve=serve)).warnings
        assert any("whose GPU serves nothing" in note for note in notes) == noted


@pytest.mark.parametrize("hardware", ["x86-2core", "t4", "rtx-3060-12gb", "h200"])
@pytest.mark.parametrize("preset", presets())
def test_what_serves_unasked_is_an_engine_that_is_built(
    preset: str, hardware: str
) -> None:
    target = {"hardware": hardware, "context": 2048}
    spec = page(preset, target=target, quantization={"weights": 16})
    refused = [(field, what) for field, what, _ in not_yet(spec)]
    assert not any("in torch" in what for _, what in refused)
    assert not {"serve.engine", "serve.device"} & {field for field, _ in refused}


def test_a_group_size_that_an_engine_does_not_have_is_noted() -> None:
    for group_size in (32, 64):
        quantization = {"weights": 4, "group_size": group_size}
        spec = page(
            "llama-3.2-1b", quantization=quantization, serve={"engine": "llama.cpp"}
        )
        idle = any("group_size does nothing" in note for note in plan(spec).warnings)
        assert idle == (group_size == 64)


def test_what_a_rule_forbids_is_not_in_the_table_of_fits() -> None:
    shape = {
        "preset": "llama-3.2-1b",
        "intermediate_size": 8198,  # no group of 32, and no four neighbours, divides it
    }
    floats = {"weights": 16}
    rows = table(page("", model=shape, serve={"engine": "torch"}, quantization=floats))
    assert {row.weights for row in rows} == {16}
    assert all("2:4" not in row.patterns for row in rows)


def test_a_budget_within_the_error_of_the_plan_is_tight() -> None:
    spec = page("llama-3.2-1b", serve={"engine": "torch"})
    peak = plan(spec).stages["serve"].peak_bytes
    for budget, tight in ((peak, True), (peak * 106 // 100, True), (2 * peak, False)):
        target = replace(spec.target, vram_budget=budget)
        planned = plan(replace(spec, target=target))
        assert planned.stages["serve"].fits
        assert planned.stages["serve"].tight == tight
        assert any(note.startswith("tight: ") for note in planned.warnings) == tight
    less = replace(spec, target=replace(spec.target, vram_budget=peak - 1))
    assert not plan(less).stages["serve"].tight


@pytest.mark.parametrize(
    ("module", "constant", "value", "file", "line"),
    [
        ("evaluate", "PREFILL", 128, "running.py", "PREFILL = 128 "),
        ("export", "BLOCK_EXPONENT", 12, "checkpoint.py", "BLOCK = 2**12 "),
    ],
)
def test_a_number_that_plan_and_script_share_is_one(
    module: str,
    constant: str,
    value: int,
    file: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (demo,) = [path for path in EXAMPLES if path.stem == "demo"]
    spec = load(demo)
    monkeypatch.setattr(f"leangen.generator.plan.{module}.{constant}", value)
    assert line in build(spec, plan(spec))[file]


def test_evaluation_on_a_gpu_holds_a_layer_whatever_the_depth() -> None:
    """An 8B is measured in half of 24 GiB; what does not fit beside a layer is on the host."""
    train = {"tokens": 10**9, "hardware": "rtx-3090", "precision": "bf16"}
    spec = page("llama-3.1-8b", train=train, serve={"device": "cpu"})
    whole = plan(spec).stages["evaluate"]  # all layers fit: a sample reads them once
    assert whole.constants["resident"]
    assert whole.moment == "samples"
    spec = replace(spec, target=replace(spec.target, vram_budget=12 * 2**30))
    shallow = replace(spec, model=replace(spec.model, num_hidden_layers=2))
    stage = plan(spec).stages["evaluate"]
    assert stage.place.device == "cuda"
    assert stage.ledger == plan(shallow).stages["evaluate"].ledger
    assert stage.constants["hidden_device"] == "cuda"
    layer = count(spec.model).layer
    (weights,) = [item for item in stage.ledger if item.item == "weights"]
    assert weights.bytes == 2 * layer
    assert not stage.constants["resident"]
    (weights,) = [item for item in whole.ledger if item.item == "weights"]
    assert weights.bytes == 2 * layer * (spec.model.num_hidden_layers + 1)
    target = replace(spec.target, vram_budget=stage.peak_bytes - 2**20)
    less = plan(replace(spec, target=target)).stages["evaluate"]
    assert less.fits
    assert less.constants["hidden_device"] == "cpu"
