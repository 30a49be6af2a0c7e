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
NO_FIELDS = ("engine", "written", "given", "document", "parts")  # of Spec: on no page


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
            found.update(leaves(path, _look_up(spec, path)))
    return dict(sorted((found | _custom(spec)).items()))


def _custom(spec: Spec) -> dict[str, Any]:
    """List what the spec says of hardware that no catalogue has."""
    section = spec.written.get(CUSTOM, {})
    return {f"{CUSTOM}.{name}": value for name, value in section.items()}


def resolved(spec: Spec) -> dict[str, Any]:
    """List every field of a spec, those with defaults filled in, in the order of the page."""
    sections = [field.name for field in fields(spec) if field.name not in NO_FIELDS]
    found: dict[str, Any] = {}
    for name in sections:
        found.update(leaves(name, getattr(spec, name), whole=True))
    del found["target.budget_given"]  # how it was written, not what it is
    return found | _custom(spec)


def _look_up(spec: Spec, path: str) -> object:
    """Find a part of a spec; inside a section that is left out there is None."""
    found: object = spec
    for step in path.split("."):
        found = getattr(found, step, None)
    return found


def leaves(
    path: str, value: object, *, whole: bool = False
) -> Iterator[tuple[str, object]]:
    """Give a field, or those of a section; unless whole, but for what most specs leave out."""
    if isinstance(value, Hardware):
        yield path, value.id
    elif is_dataclass(value):
        for field in fields(value):
            inner = getattr(value, field.name)
            if whole or inner != field.default:
                yield from leaves(f"{path}.{field.name}", inner, whole=whole)
    else:
        yield path, value
