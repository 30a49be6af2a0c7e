"""What lists of layers and projections have in common, whatever they are listed for."""

from collections.abc import Sequence

from leangen.spec.check.wording import either
from leangen.spec.matrices import Name, parts_of, projections
from leangen.spec.rules.rule import Problem

Listed = Sequence[tuple[str, Name]]  # names, each with the path where it stands


def of_no_model(listed: Listed, layers: int, family: str) -> Problem | None:
    """Find a layer that is not there, or a projection that the family has not."""
    names = projections(family)
    for place, name in listed:
        layer, projection = parts_of(name)
        if projection is not None and projection not in names:
            return Problem(place, f"{family} has no {projection}", either(names))
        if layer is not None and layer >= layers:
            message = f"there is no layer {layer}"
            return Problem(place, message, f"0 to {layers - 1}")
    return None


def said_again(listed: Listed, what: str) -> Problem | None:
    """Find a name that is there twice, or inside another: down_proj has 3.down_proj in it."""
    names = {name for _, name in listed}
    before: set[Name] = set()
    for place, name in listed:
        inside = {part for part in parts_of(name) if part != name} & names
        if name in before or inside:
            message = f"{name} is {what} already"
            return Problem(place, message, suggestion="delete one of them")
        before.add(name)
    return None
