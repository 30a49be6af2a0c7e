"""plan.json: what the spec costs, as a reviewer sees it in a diff."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.stages import STAGES
from leangen.spec import Hardware, Spec

NAME = "plan.json"
CUSTOM = "custom_hardware"


def snapshot(spec: Spec, planned: Plan) -> str:
    """Write plan.json: what the spec says, and the bytes and seconds of each stage."""
    stages = {name: _figures(stage) for name, stage in planned.stages.items()}
    found = {
        "spec": _inputs(spec),
        "parameters": planned.parameters,
        "stages": stages,
    }
    return json.dumps(found, indent=2) + "\n"


def _figures(stage: StagePlan) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "budget_bytes": stage.place.budget_bytes,
        "peak_bytes": stage.peak_bytes,
        "ledger": {item.item: item.bytes for item in stage.ledger},
    }
    if stage.seconds:  # to three digits: they are rough
        figures["seconds"] = [float(f"{value:.3g}") for value in stage.seconds]
    return figures


def _inputs(spec: Spec) -> dict[str, Any]:
    """List the fields that bytes and time come from, sorted: what the stages declare."""
    found: dict[str, Any] = {"sparsity.recover": spec.sparsity.recover is not None}
    for stage in STAGES:
        for path in stage.costs:
            found.update(_leaves(path, _look_up(spec, path)))
    for name, value in spec.written.get(CUSTOM, {}).items():
        found[f"{CUSTOM}.{name}"] = value
    return dict(sorted(found.items()))


def _look_up(spec: Spec, path: str) -> object:
    """Find a part of a spec; inside a section that is left out there is None."""
    found: object = spec
    for step in path.split("."):
        found = getattr(found, step, None)
    return found


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Give a field, or those of a section but for what is left out of most specs."""
    if isinstance(value, Hardware):
        yield path, value.id
    elif is_dataclass(value):
        for field in fields(value):
            inner = getattr(value, field.name)
            if inner != field.default:
                yield from _leaves(f"{path}.{field.name}", inner)
    else:
        yield path, value
