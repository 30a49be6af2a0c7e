"""What would make a spec fit: the smallest changes of its fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from leangen.generator.plan.ladders import Ladder, serving_ladders, training_ladders
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.pipeline import Plan, plan
from leangen.spec import Spec, vary

PAIRED = 16  # values of a field that are tried beside another one
FEW = (
    32  # values that are tried one after another; of more, half are left out at a time
)
CACHE, GROUPS = "quantization.kv_cache", "quantization.group_size"
ROOM = ("target.vram_budget", "train.hardware", "target.hardware")  # take nothing away

Change = Mapping[str, Any]


@dataclass(frozen=True)
class Suggestion:
    """A change of fields that makes all stages fit; bytes are those of one stage."""

    change: Change
    stage: str
    peak_bytes: int
    saved_bytes: int


def suggestions(spec: Spec, planned: Plan) -> list[Suggestion]:
    """Rank the smallest changes that make a spec fit, the one that takes least away first.

    One field at a time; only where no single one is enough, two. Other hardware and a
    larger budget come last: they take nothing away.
    """
    over = [stage for stage in planned.stages.values() if not stage.fits]
    # Of equals the last: an evaluation may hold what the server does.
    failing = max(reversed(over), key=lambda stage: stage.peak_bytes)
    ladders = _ladders(spec, over)
    room = {path: ladders.pop(path) for path in ROOM if path in ladders}
    changes = [_smallest(spec, field) for field in ladders.items()]
    if not any(changes):
        pairs = combinations(ladders.items(), 2)
        changes = [_pair(spec, one, two) for one, two in pairs]
    more = [_smallest(spec, field) for field in room.items()]
    found = [_suggestion(spec, change, failing) for change in changes if change]
    found.sort(key=lambda suggestion: -suggestion.peak_bytes)
    gentler = _gentler(spec, ladders, found)
    if gentler:
        place = [set(suggestion.change) for suggestion in found].index({CACHE})
        found.insert(place, _suggestion(spec, gentler, failing))
    return found + [_suggestion(spec, change, failing) for change in more if change]


def _suggestion(spec: Spec, change: Change, failing: StagePlan) -> Suggestion:
    varied = vary(spec, change)
    assert varied, "only changes that the rules allow are found"
    peak = plan(varied).stages[failing.stage].peak_bytes
    return Suggestion(change, failing.stage, peak, failing.peak_bytes - peak)


def _ladders(spec: Spec, over: list[StagePlan]) -> dict[str, Ladder]:
    """List for each field its values from the nearest to the farthest: ever fewer bytes."""
    trains = {stage.place.trains for stage in over}
    ladders: dict[str, Ladder] = {}
    if True in trains:
        ladders |= training_ladders(spec)
    if False in trains:
        ladders |= serving_ladders(spec)
    return {path: steps for path, steps in ladders.items() if steps}


def _gentler(
    spec: Spec, ladders: Mapping[str, Ladder], found: list[Suggestion]
) -> Change | None:
    """Find larger groups beside a cache of the next fewer bits, where that alone takes more.

    Keys and values in 4 bits cost more quality than larger groups and 8 bits do.
    """
    changes = [dict(suggestion.change) for suggestion in found]
    alone = next((change for change in changes if change.keys() == {CACHE}), None)
    wider = any(change.keys() == {GROUPS} for change in changes)
    if alone is None or wider or GROUPS not in ladders:
        return None
    nearest = ladders[CACHE][0]
    if alone[CACHE] == nearest:
        return None
    return _pair(spec, (GROUPS, ladders[GROUPS]), (CACHE, [nearest]))


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


def _fits(spec: Spec, change: Change) -> bool:
    varied = vary(spec, change)
    return varied is not None and plan(varied).fits


def _smallest(
    spec: Spec, field: tuple[str, Ladder], beside: Change | None = None
) -> dict[str, Any] | None:
    """Find the nearest value of a field with which the spec fits, beside other changes."""
    path, steps = field
    changes = [{**(beside or {}), path: value} for value in steps]
    if len(steps) < FEW:
        return next((change for change in changes if _fits(spec, change)), None)
    # Each step takes less than the one before.
    place = first(len(steps), lambda n: _fits(spec, changes[n]))
    return None if place == len(steps) else changes[place]


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
        found = _smallest(spec, one, beside={other: value})
        if found and _is_minimal(spec, found, {path: steps, other: values}):
            return found
    return None


def _is_minimal(spec: Spec, change: Change, ladders: Mapping[str, Ladder]) -> bool:
    for path, steps in ladders.items():
        place = list(steps).index(change[path])
        less = {**change, path: steps[place - 1]} if place else dict(change)
        if not place:
            del less[path]
        if _fits(spec, less):
            return False
    return True
