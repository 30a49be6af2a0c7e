"""What would make a spec fit: the smallest changes of its fields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from leangen.generator.plan.hosting import engine_of
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.plan import Plan, plan
from leangen.spec import Hardware, Spec, machines, vary

STEP = 1024  # tokens of context between two that are tried, 16 below it
MIB, GIB = 2**20, 2**30
PAIRED = 16  # values of a field that are tried beside another one

ROOM = ("target.vram_budget", "target.hardware", "train.hardware")  # take nothing away

Ladder = Sequence[Any]


@dataclass(frozen=True)
class Suggestion:
    """A change of fields that makes all stages fit; bytes are those of one stage."""

    change: Mapping[str, Any]
    stage: str
    peak_bytes: int
    saved_bytes: int


def suggestions(spec: Spec, planned: Plan) -> list[Suggestion]:
    """Rank the smallest changes that make a spec fit, the one that takes least away first.

    One field at a time; only where no single one is enough, two. Other hardware and a
    larger budget come last: they take nothing away.
    """
    over = [stage for stage in planned.stages.values() if not stage.fits]
    failing = max(over, key=lambda stage: stage.peak_bytes)
    ladders = _ladders(spec, planned)
    room = {path: ladders.pop(path) for path in ROOM if path in ladders}
    found = [_smallest(spec, {}, path, steps) for path, steps in ladders.items()]
    if not any(found):
        found = [_pair(spec, one, two) for one, two in combinations(ladders.items(), 2)]
    more = [_smallest(spec, {}, path, steps) for path, steps in room.items()]
    ranked = sorted(
        (_suggestion(spec, change, failing) for change in found if change),
        key=lambda suggestion: -suggestion.peak_bytes,
    )
    return ranked + [_suggestion(spec, change, failing) for change in more if change]


def _suggestion(
    spec: Spec, change: Mapping[str, Any], failing: StagePlan
) -> Suggestion:
    varied = vary(spec, change)
    assert varied, "only changes that the rules allow are found"
    peak = plan(varied).stages[failing.stage].peak_bytes
    return Suggestion(change, failing.stage, peak, failing.peak_bytes - peak)


def _ladders(spec: Spec, planned: Plan) -> dict[str, Ladder]:
    """List for each field its values from the nearest to the farthest: ever fewer bytes."""
    failing = {name for name, stage in planned.stages.items() if not stage.fits}
    ladders: dict[str, Ladder] = {}
    if failing & {"train", "recover", "prune"}:
        ladders |= _training_ladders(spec)
    if failing - {"train", "recover", "prune"}:
        ladders |= _serving_ladders(spec)
    return {path: steps for path, steps in ladders.items() if steps}


def _serving_ladders(spec: Spec) -> dict[str, Ladder]:
    quantization, target = spec.quantization, spec.target
    engine, bits = engine_of(spec), quantization.weights
    groups = [g for g in (32, 64, 128, 256) if g > quantization.group_size]
    written = "vram_budget" in spec.written["target"]
    patterns = [p for p, able in engine.patterns.items() if bits in able]
    return {
        "target.context": shorter(target.context),
        "target.batch": range(target.batch - 1, 0, -1),
        "quantization.group_size": groups
        if bits < 16 and not engine.group_size
        else (),
        "quantization.kv_cache": _fewer(engine.kv_cache, quantization.kv_cache),
        "quantization.weights": _fewer(engine.weights, bits),
        "sparsity.pattern": patterns if spec.sparsity.pattern == "dense" else (),
        "target.vram_budget": _budgets(spec) if written else (),
        "target.hardware": () if written else _larger(target.hardware),
    }


def _training_ladders(spec: Spec) -> dict[str, Ladder]:
    model, recover = spec.model, spec.sparsity.recover
    lengths = [
        tokens
        for tokens in shorter(model.max_position_embeddings)
        if tokens >= spec.target.context
    ]
    halves = [spec.train.batch_size >> n for n in range(1, 17)]
    here = spec.train.hardware == spec.target.hardware
    written = here and "vram_budget" in spec.written["target"]
    return {
        "train.batch_size": [n for n in halves if n],
        "train.precision": ["bf16"] if spec.train.precision == "float32" else (),
        "sparsity.recover.distill": [False] if recover and recover.distill else (),
        "model.max_position_embeddings": () if model.pretrained else lengths,
        "target.context": shorter(spec.target.context) if model.pretrained else (),
        "target.vram_budget": _budgets(spec) if written else (),
        "target.hardware": _larger(spec.target.hardware) if here else (),
        "train.hardware": () if here else _larger(spec.train.hardware),
    }


def _budgets(spec: Spec) -> Ladder:
    """Larger budgets on the same hardware: multiples of 64 MiB, above 4 GiB of 1 GiB."""
    most = spec.target.hardware.usable_bytes
    steps = [*range(64 * MIB, 4 * GIB, 64 * MIB), *range(4 * GIB, most + 1, GIB)]
    return [step for step in steps if spec.target.vram_budget < step <= most]


def _larger(hardware: Hardware) -> Ladder:
    """Hardware of the same kind with more memory, the least of it first."""
    rows = [row for row in machines().values() if row.kind == hardware.kind]
    more = [row for row in rows if row.usable_bytes > hardware.usable_bytes]
    return [row.id for row in sorted(more, key=lambda row: row.usable_bytes)]


def shorter(tokens: int) -> Ladder:
    """Shorter lengths: multiples of 1,024, then of 16."""
    long = range((tokens - 1) // STEP * STEP, 0, -STEP)
    short = range((min(tokens, STEP) - 1) // 16 * 16, 0, -16)
    return [*long, *short]


def _fewer(able: Sequence[int], bits: int) -> Ladder:
    return sorted((n for n in able if n < bits), reverse=True)


def first(count: int, holds: Callable[[int], bool]) -> int:
    """Find the first index that holds, of which all later ones do; `count` if none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(spec: Spec, change: Mapping[str, Any]) -> bool:
    varied = vary(spec, change)
    return varied is not None and plan(varied).fits


def _smallest(
    spec: Spec, beside: Mapping[str, Any], path: str, steps: Ladder
) -> dict[str, Any] | None:
    """Find the nearest value of a field with which the spec fits, beside other changes."""
    if len(steps) < 32:
        near = (value for value in steps if _fits(spec, {**beside, path: value}))
        found = next(near, None)
        return None if found is None else {**beside, path: found}
    # Each step takes less than the one before.
    place = first(len(steps), lambda n: _fits(spec, {**beside, path: steps[n]}))
    return None if place == len(steps) else {**beside, path: steps[place]}


def _pair(
    spec: Spec, one: tuple[str, Ladder], two: tuple[str, Ladder]
) -> dict[str, Any] | None:
    """Find two changes that fit together, of which neither can be a step smaller."""
    (path, steps), (other, values) = one, two
    if not _fits(spec, {path: steps[-1], other: values[-1]}):
        return None
    near = first(
        len(values), lambda n: _fits(spec, {path: steps[-1], other: values[n]})
    )
    for value in values[near : near + PAIRED]:
        found = _smallest(spec, {other: value}, path, steps)
        if found and _is_minimal(spec, found, {path: steps, other: values}):
            return found
    return None


def _is_minimal(
    spec: Spec, change: Mapping[str, Any], ladders: Mapping[str, Ladder]
) -> bool:
    for path, steps in ladders.items():
        place = list(steps).index(change[path])
        less = {**change, path: steps[place - 1]} if place else dict(change)
        if not place:
            del less[path]
        if _fits(spec, less):
            return False
    return True
