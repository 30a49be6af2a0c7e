"""plan.json: the plan as a reviewer sees it in a diff, and what changed since the last build."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from leangen.generator.plan import Plan
from leangen.generator.report.terminal import size
from leangen.spec import Spec

NAME = "plan.json"
INPUTS = (  # the fields of a spec that its bytes come from, beside the hardware
    "model.vocab_size",
    "model.hidden_size",
    "model.intermediate_size",
    "model.num_hidden_layers",
    "model.num_attention_heads",
    "model.num_key_value_heads",
    "model.max_position_embeddings",
    "model.tie_word_embeddings",
    "train.batch_size",
    "train.precision",
    "sparsity.pattern",
    "sparsity.ratio",
    "sparsity.method",
    "quantization.weights",
    "quantization.group_size",
    "quantization.kv_cache",
    "target.vram_budget",
    "target.context",
    "target.batch",
    "serve.engine",
    "serve.device",
)


def snapshot(spec: Spec, planned: Plan) -> str:
    """Write plan.json: what the spec says, and the bytes of each stage."""
    found = {
        "spec": _inputs(spec),
        "parameters": planned.parameters,
        "stages": {
            name: {
                "budget_bytes": stage.budget_bytes,
                "peak_bytes": stage.peak_bytes,
                "ledger": {item.item: item.bytes for item in stage.ledger},
            }
            for name, stage in planned.stages.items()
        },
    }
    return json.dumps(found, indent=2) + "\n"


def _inputs(spec: Spec) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "train.hardware": spec.train.hardware.id,
        "target.hardware": spec.target.hardware.id,
    }
    for path in INPUTS:
        section, name = path.split(".")
        inputs[path] = getattr(getattr(spec, section), name)
    recover = spec.sparsity.recover
    inputs["sparsity.recover"] = recover is not None
    inputs["sparsity.recover.distill"] = recover is not None and recover.distill
    return {path: inputs[path] for path in sorted(inputs)}


def changes(before: str | None, after: str) -> Iterator[str]:
    """Tell what differs between two of these files: field, before, after, bytes."""
    old, new = _read(before), _read(after)
    fields, earlier = new["spec"], old.get("spec", {})
    for path, value in fields.items():
        if earlier and earlier.get(path) != value:
            yield f"{path:<26} {_show(earlier.get(path)):>14} -> {_show(value)}"
    stages = {**old.get("stages", {}), **new["stages"]} if old else {}
    for stage in stages:
        held, then = _held(new, stage), _held(old, stage)
        for item in dict.fromkeys([*then, *held]):
            a, b = then.get(item, 0), held.get(item, 0)
            if a != b:
                yield (
                    f"{stage + ' ' + item:<26} {size(a):>14} -> {size(b):<14} "
                    f"{'+' if b > a else '-'}{size(abs(b - a))}"
                )


def _held(found: Mapping[str, Any], stage: str) -> dict[str, int]:
    """List what a stage holds, and its peak; nothing where there is no such stage."""
    figures = found.get("stages", {}).get(stage)
    return {**figures["ledger"], "peak": figures["peak_bytes"]} if figures else {}


def _show(value: Any) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if number else str(value).lower()


def _read(text: str | None) -> Mapping[str, Any]:
    """Read a plan.json; one that is missing or damaged tells nothing."""
    try:
        found = json.loads(text or "")
        for figures in found["stages"].values():
            sum([figures["peak_bytes"], *figures["ledger"].values()])
        return found if isinstance(found["spec"], dict) else {}
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return {}
