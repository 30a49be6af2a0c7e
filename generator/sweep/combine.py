"""Axes to changes of a spec: which combinations there are, and what each leaves out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from leangen.spec import LeangenError, Spec, diagnostic_at
from leangen.spec.axes import WITH, WITHOUT, Axis, Choice, axes, conditions
from leangen.spec.check.schema import field_at, types
from leangen.spec.load import idle_in
from leangen.spec.neighbours import value_in, written
from leangen.spec.text.document import steps

MOST = 1000  # combinations
SEED = "train.seed"
# What a variant has no use for: each is measured, none is published or held to a gate.
LEFT_OUT = ("gates", "export", "evaluate.sensitivity", "sweep")
Changes = dict[str, Any]  # by path; None leaves a field out


@dataclass(frozen=True)
class Asked:
    """What a sweep is over, which combinations it leaves out, and how often each is run."""

    axes: Sequence[Axis]
    without: Sequence[Sequence[Choice]]
    repeat: int


@dataclass(frozen=True)
class Combination:
    """Values of axes that are in effect, and the changes of the spec that they come to."""

    values: Mapping[str, Any]
    changes: Mapping[str, Any]
    seed: int
    again: int  # how many times it is there before, with other seeds


def asked_of(
    spec: Spec, over: Sequence[str], without: Sequence[str], repeat: int | None
) -> Asked:
    """Read what the command asks for, in the place of what the spec does."""
    section = spec.sweep
    lines, left_out = (over, without) if over else (section.over, section.without)
    if not lines:
        raise LeangenError.of(
            "there is nothing to sweep over",
            remedy="add --over quantization.weights=16,8,4, or a section sweep",
            code="no-axes",
        )
    found = Asked(
        axes(lines, "--over"),
        [conditions(each, "--without") for each in without or left_out],
        repeat or section.repeat,
    )
    _refuse(spec, found)
    return found


def _refuse(spec: Spec, asked: Asked) -> None:
    """Raise what is wrong with the axes beside each other, and beside the spec."""
    count = asked.repeat * prod(len(axis.choice.values) for axis in asked.axes)
    if count > MOST:
        message = f"{count:,} combinations are more than {MOST:,}"
        raise LeangenError.of(message, remedy="name fewer values", code="too-many")
    if asked.repeat > 1 and SEED in [axis.choice.field for axis in asked.axes]:
        message = f"an axis is of {SEED} already, which a repeat chooses"
        raise LeangenError.of(message, remedy="leave one of them out", code="axis")
    for axis in asked.axes:
        field = axis.choice.field
        named = WITH in axis.choice.values and _is_section(field)
        if named and written(spec, field) is None:
            found = diagnostic_at(
                spec,
                field,
                code="axis",
                message=f"the spec has no {field} for a variant to be with",
                suggestion="add the section to the spec",
            )
            raise LeangenError([found])


def combinations(spec: Spec, asked: Asked) -> Iterator[Combination]:
    """List what the axes come to, each once, in the order of their values."""
    seen = set()
    for values in _chosen(spec, asked):
        for number in range(asked.repeat):
            changes = _changes(spec, values)
            seed = changes.get(SEED, spec.train.seed) + number
            if number:
                changes[SEED] = seed
            changes = _without_idle(spec, changes)
            text = json.dumps(sorted(changes.items()))
            if text not in seen:
                seen.add(text)
                kept = {
                    field: value
                    for field, value in values.items()
                    if _has(spec, values, changes, field)
                }
                yield Combination(kept, changes, seed, number)


def _chosen(spec: Spec, asked: Asked) -> Iterator[dict[str, Any]]:
    """Combine the values of the axes, where each is of some use, but for what is left out."""
    fields = [axis.choice.field for axis in asked.axes]
    for values in product(*(axis.choice.values for axis in asked.axes)):
        every = dict(zip(fields, values, strict=True))
        left_out = any(_is(spec, every, choices) for choices in asked.without)
        if not left_out:
            yield {
                axis.choice.field: every[axis.choice.field]
                for axis in asked.axes
                if _is(spec, every, axis.where)
            }


def _is(spec: Spec, values: Mapping[str, Any], choices: Sequence[Choice]) -> bool:
    """Tell whether a combination has one of the values of every choice."""
    return all(
        values.get(each.field, _own(spec, each.field)) in each.values
        for each in choices
    )


def _own(spec: Spec, field: str) -> Any:
    """Give what the spec itself has in a field, as an axis names it."""
    found = value_in(spec, field)
    if _is_section(field):
        return WITHOUT if found is None else WITH
    return list(found) if isinstance(found, tuple) else found


def _is_section(field: str) -> bool:
    return types(field_at(steps(field))) == ("object",)


def _changes(spec: Spec, values: Mapping[str, Any]) -> Changes:
    """Say what is to be written, or left out, for a combination."""
    changes: Changes = {f: None for f in LEFT_OUT if written(spec, f) is not None}
    for field, value in values.items():
        if not _is_section(field):
            changes[field] = value
    for field, value in values.items():
        if _is_section(field) and value == WITHOUT:
            changes = _drop(spec, changes, field)
    return changes


def _without_idle(spec: Spec, changes: Changes) -> Changes:
    """Leave out what does nothing beside the rest: a dense model has no method of pruning."""
    while field := _idle(spec, changes):
        changes = _drop(spec, changes, field)
    return changes


def _idle(spec: Spec, changes: Changes) -> str:
    try:
        return idle_in(spec, changes)
    except LeangenError:  # of a checkpoint: whoever loads the variant says so
        return ""


def _drop(spec: Spec, changes: Changes, field: str) -> Changes:
    """Leave a field out, and what is in it."""
    kept = {f: v for f, v in changes.items() if not f"{f}.".startswith(f"{field}.")}
    return kept | ({field: None} if written(spec, field) is not None else {})


def _has(spec: Spec, values: Mapping[str, Any], changes: Changes, field: str) -> bool:
    """Tell whether a field of an axis is in effect in a variant.

    A section is, left out or not, where it would do something.
    """
    if not _is_section(field):
        return changes.get(field) is not None
    return field not in _without_idle(spec, _changes(spec, {**values, field: WITH}))
