"""Which matrices of the decoder are meant by layers, projections, and both together."""

from collections.abc import Iterable, Mapping, Sequence

Name = int | str  # 3, down_proj or 3.down_proj
Matrix = tuple[int, str]  # the number of a layer, and a projection

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED = ("gate_proj", "up_proj", "down_proj")
NUMBERED = ("w1", "w2", "w3")  # what mixtral's experts call them


def projections(family: str) -> tuple[str, ...]:
    """Name the matrices of a layer of a family."""
    return ATTENTION + (NUMBERED if family == "mixtral" else GATED)


def parts_of(name: Name) -> tuple[int | None, str | None]:
    """Split a name into the number of a layer and a projection, None where it has none."""
    if isinstance(name, int):
        return name, None
    layer, _, projection = name.rpartition(".")
    return int(layer) if layer else None, projection


def named(names: Iterable[Name], layers: int, within: Sequence[str]) -> set[Matrix]:
    """List the matrices that are named, of so many layers with the projections `within`."""
    found: set[Matrix] = set()
    for name in names:
        layer, projection = parts_of(name)
        numbers = range(layers) if layer is None else [layer]
        parts = within if projection is None else [projection]
        found.update((number, part) for number in numbers for part in parts)
    return found


def parted(
    exceptions: Mapping[int, Sequence[Name]],
    layers: int,
    within: Sequence[str],
    together: Sequence[str],
) -> int | None:
    """Find a layer in which some of the projections `together` have other bits than others."""
    for listed in exceptions.values():
        matrices = named(listed, layers, within)
        for layer in range(layers):
            if 0 < sum((layer, part) in matrices for part in together) < len(together):
                return layer
    return None
