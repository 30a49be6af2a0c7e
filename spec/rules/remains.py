"""Rules on the sizes that a structured pruning leaves: some of each, and whole groups."""

from typing import NamedTuple

from leangen.spec.check.schema import field_at
from leangen.spec.rules.rule import Problem, rule
from leangen.spec.rules.structure import HEADS, LAYERS, PATTERN, RATIO, Share
from leangen.spec.structure import channels_left, some_left, step_of


@rule(PATTERN, RATIO, "model.intermediate_size")
def channels_go_and_stay(pattern: str, ratio: Share, width: int) -> Problem | None:
    """Channels go in steps."""
    if pattern != "structured" or ratio is None:
        return None
    step, left = step_of(width), channels_left(width, ratio)
    if 0 < left < width:
        return None
    message = (
        f"{ratio:g} {_takes(left)} of {width} channels, {step} of which go together"
    )
    return _nearest(RATIO, message, ratio, _Sizes(width, [*range(step, width, step)]))


@rule(PATTERN, HEADS, "model.num_key_value_heads", "model.num_attention_heads")
def heads_go_and_stay(
    pattern: str, heads: Share, shared: int | None, queries: int
) -> Problem | None:
    """Query heads go with the key and value head that they share."""
    if pattern != "structured" or heads is None:
        return None
    groups = shared or queries
    left = some_left(groups, heads)
    if 0 < left < groups:
        return None
    message = f"{heads:g} {_takes(left)} of {groups} key and value heads"
    return _nearest(HEADS, message, heads, _Sizes(groups, [*range(1, groups)]))


@rule(PATTERN, LAYERS, "model.num_hidden_layers")
def layers_go_and_stay(pattern: str, layers: Share, of: int) -> Problem | None:
    """One layer stays at the least."""
    if pattern != "structured" or layers is None:
        return None
    left = some_left(of, layers)
    if 0 < left < of:
        return None
    message = f"{layers:g} {_takes(left)} of {of} layers"
    return _nearest(LAYERS, message, layers, _Sizes(of, [*range(1, of)]))


@rule(
    PATTERN,
    HEADS,
    "model.architecture",
    "model.num_key_value_heads",
    "model.num_attention_heads",
    "model.hidden_size",
)
def llama_divides_its_width(
    pattern: str,
    heads: Share,
    family: str,
    shared: int | None,
    queries: int,
    hidden: int,
) -> Problem | None:
    """transformers refuses a llama whose heads do not divide hidden_size."""
    if pattern != "structured" or heads is None or family != "llama":
        return None
    groups = shared or queries
    each, left = queries // groups, some_left(groups, heads)
    if left in (0, groups) or hidden % (each * left) == 0:
        return None
    fits = [n for n in range(1, groups) if hidden % (each * (groups - n)) == 0]
    message = (
        f"{each * left} heads would be left, which do not divide hidden_size {hidden}: "
        "transformers loads no such llama"
    )
    return _nearest(HEADS, message, heads, _Sizes(groups, fits))


@rule(
    PATTERN,
    RATIO,
    "model.intermediate_size",
    "quantization.weights",
    "quantization.group_size",
)
def groups_divide_what_is_left(
    pattern: str, ratio: Share, width: int, bits: int, group: int
) -> Problem | None:
    """A scale serves whole groups of the channels that stay."""
    left = channels_left(width, ratio)
    if pattern != "structured" or bits >= 16 or left % group == 0 or width % group:
        return None
    fits = [*range(group, width, group)]
    message = f"{left} channels would be left, which groups of {group} do not divide"
    return _nearest(RATIO, message, ratio or 0, _Sizes(width, fits))


@rule(
    PATTERN,
    HEADS,
    "model.num_key_value_heads",
    "model.num_attention_heads",
    "model.head_dim",
    "quantization.weights",
    "quantization.group_size",
)
def groups_divide_heads_left(
    pattern: str,
    heads: Share,
    shared: int | None,
    queries: int,
    head_dim: int | None,
    bits: int,
    group: int,
) -> Problem | None:
    """A scale serves whole groups of the heads that stay."""
    if pattern != "structured" or heads is None or bits >= 16 or not head_dim:
        return None
    groups = shared or queries
    width, left = queries // groups * head_dim, some_left(groups, heads)
    if left * width % group == 0 or groups * width % group:
        return None
    sizes = field_at(("quantization", "group_size"))["enum"]
    fits = [str(size) for size in sizes if left * width % size == 0]
    message = f"groups of {group} do not divide the {left * width} that heads leave"
    remedy = f"write group_size: {fits[-1]}" if fits else f"delete {HEADS}"
    return Problem("quantization.group_size", message, suggestion=remedy)


class _Sizes(NamedTuple):
    """How many there are, and how many of these may go."""

    all: int
    fits: list[int]


def _takes(left: int) -> str:
    return "takes none" if left else "takes all"


def _nearest(field: str, message: str, share: float, sizes: _Sizes) -> Problem:
    """Name the share that works and is nearest."""
    if not sizes.fits:
        return Problem(field, message, suggestion="delete it")
    count = min(sizes.fits, key=lambda n: abs(n / sizes.all - share))
    name = field.rpartition(".")[2]
    return Problem(
        field, message, suggestion=f"write {name}: {round(count / sizes.all, 4):g}"
    )


RULES = (
    channels_go_and_stay,
    heads_go_and_stay,
    layers_go_and_stay,
    llama_divides_its_width,
    groups_divide_what_is_left,
    groups_divide_heads_left,
)
