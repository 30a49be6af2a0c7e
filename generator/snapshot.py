"""plan.json: the plan as a reviewer sees it in a diff, and what changed since the last build."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from leangen.generator.plan import Plan
from leangen.generator.present import size
from leangen.spec import Spec

NAME = "plan.json"
INPUTS = (  # the fields of a spec that its bytes come from
    "train.batch_size",
    "train.precision",
    "sparsity.pattern",
    "sparsity.ratio",
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
    return {path: inputs[path] for path in sorted(inputs)}


def changes(before: str | None, after: str) -> Iterator[str]:
    """Tell what differs between two of these files: field, before, after, bytes."""
    old, new = _read(before), _read(after)
    fields, earlier = new["spec"], old.get("spec", {})
    for path, value in fields.items():
        if earlier and earlier.get(path) != value:
            yield f"{path:<26} {_show(earlier.get(path)):>14} -> {_show(value)}"
    for stage, figures in new["stages"].items():
        was = old.get("stages", {}).get(stage, {})
        held, then = figures["ledger"], was.get("ledger", {})
        rows = {item: (then.get(item, 0), held.get(item, 0)) for item in [*held, *then]}
        rows["peak"] = was.get("peak_bytes", 0), figures["peak_bytes"]
        for item, (a, b) in rows.items():
            if old and a != b:
                yield (
                    f"{stage + ' ' + item:<26} {size(a):>14} -> {size(b):<14} "
                    f"{'+' if b > a else '-'}{size(abs(b - a))}"
                )


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _read(text: str | None) -> Mapping[str, Any]:
    """Read a plan.json; one that is missing or damaged tells nothing."""
    try:
        found = json.loads(text or "")
        return found if isinstance(found.get("spec"), dict) else {}
    except (ValueError, AttributeError):
        return {}
