"""plan.json lists every field that a plan reads, so that a new one cannot be forgotten."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import yaml

from leangen.generator.plan import plan
from leangen.generator.plan.parameters import count
from leangen.generator.plan.pipeline import PLANNERS
from leangen.generator.render.plan_json import snapshot
from leangen.generator.stages import STAGES, stages_of
from leangen.spec import Engine, Hardware, Spec, loads
from leangen.spec.check.schema import field_at

PAGE: dict[str, Any] = {
    "leangen": 1,
    "name": "example",
    "model": {"preset": "llama-3.2-1b", "max_position_embeddings": 4096},
    "train": {"tokens": 10**9, "hardware": "h200"},
    "target": {"hardware": "rtx-3090", "context": 2048},
}
SPARSE = {"pattern": "2:4", "recover": {"tokens": 10**9, "distill": True}}
CPU = {"hardware": "x86-avx512", "context": 2048}
METHODS = field_at(("sparsity", "method"))["enum"]
RATIO = {"pattern": "unstructured", "ratio": 0.5}
STRUCTURED = {"pattern": "structured", "ratio": 0.25, "heads": 0.5, "layers": 0.25}
CHANGES: list[dict[str, Any]] = [
    {},
    {"sparsity": SPARSE, "train": {"tokens": 10**9, "precision": "bf16"}},
    {"sparsity": SPARSE, "target": CPU},
    {"sparsity": SPARSE | {"recover": {"tokens": 10**6, "scope": "layers"}}},
    *({"sparsity": SPARSE | {"method": method}} for method in METHODS),
    *({"sparsity": RATIO | {"method": method}} for method in METHODS),
    {"model": {"preset": "llama-3.2-1b"}, "train": {}, "sparsity": SPARSE},
    {
        "model": {"preset": "llama-3.2-1b"},
        "train": {},
        "sparsity": STRUCTURED | {"recover": {"tokens": 10**9, "distill": True}},
    },
    {"quantization": {"weights": 16}, "target": CPU},
    {"quantization": {"weights": 4, "exceptions": {8: [0, "3.v_proj"]}}, "target": CPU},
    {"evaluate": {"sensitivity": True}},
    {"evaluate": {"sensitivity": True}, "sparsity": SPARSE},
    {
        "quantization": {"weights": 4, "method": "gptq"},
        "sparsity": {"pattern": "2:4", "method": "sparsegpt"},
    },
    {"serve": {"engine": "llama.cpp"}, "quantization": {"weights": 4}},
    {"serve": {"engine": "torch"}, "quantization": {"weights": 8}, "sparsity": SPARSE},
    {"serve": {"engine": "torch"}, "quantization": {"weights": 8, "kv_cache": 8}},
    {"export": {"formats": ["compressed-tensors", "gguf"]}, "target": CPU},
    {"tokenizer": "bytes", "target": CPU | {"vram_budget": "20GiB"}},
]
SPECS = [loads(yaml.safe_dump(PAGE | change)) for change in CHANGES]
DERIVED = {  # what the author writes for what a plan reads
    "target.budget_given": {"target.vram_budget"},
    "engine": {"serve.engine", "serve.device"},
}
WHOLE = {field.name for field in fields(Spec)} - DERIVED.keys()


def sections(value: object, path: str) -> Iterator[tuple[type, str]]:
    """List the classes that a spec is made of, and their paths."""
    if is_dataclass(value) and not isinstance(value, Hardware | Engine):
        yield type(value), path
        for field in fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            yield from sections(getattr(value, field.name), inner)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Note the path of every field of a spec that is looked at from now on."""
    seen: set[str] = set()
    for kind, path in {pair for spec in SPECS for pair in sections(spec, "")}:
        inner = {
            field.name: f"{path}.{field.name}".lstrip(".") for field in fields(kind)
        }

        def note(self: Any, name: str, inner: dict[str, str] = inner) -> Any:
            if name in inner and inner[name] not in WHOLE:
                seen.update(DERIVED.get(inner[name], {inner[name]}))
            return object.__getattribute__(self, name)

        monkeypatch.setattr(kind, "__getattribute__", note)
    return seen


def covers(declared: str, path: str) -> bool:
    return f"{path}.".startswith(f"{declared}.") or declared.startswith(f"{path}.")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_plan_reads_what_its_stage_declares(stage: Any, read: set[str]) -> None:
    for spec in SPECS:
        if stage in stages_of(spec) and stage.name in PLANNERS:
            counts = count(spec.model)
            read.clear()
            PLANNERS[stage.name](spec, counts)
            for path in read:
                assert any(covers(cost, path) for cost in stage.costs), path


def test_no_cost_is_declared_in_vain(read: set[str]) -> None:
    for spec in SPECS:
        plan(spec)
    for cost in {cost for stage in STAGES for cost in stage.costs}:
        assert any(f"{path}.".startswith(f"{cost}.") for path in read), cost


def test_plan_json_lists_every_field_that_a_plan_reads(read: set[str]) -> None:
    """But for what a model leaves out, such as biases and experts."""
    for spec in SPECS:
        read.clear()
        planned = plan(spec)
        looked_at = set(read)
        listed = json.loads(snapshot(spec, planned))["spec"]
        left_out = {f"model.{f.name}" for f in fields(spec.model)} - listed.keys()
        assert all(is_default(spec, path) for path in left_out)
        assert looked_at - left_out <= listed.keys()


def is_default(spec: Spec, path: str) -> bool:
    (field,) = [f for f in fields(spec.model) if f"model.{f.name}" == path]
    return bool(getattr(spec.model, field.name) == field.default)
