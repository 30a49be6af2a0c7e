"""Rules between the widths of a model and what is cut into them."""

from collections.abc import Iterable

from leangen.spec.check.schema import field_at
from leangen.spec.check.wording import either
from leangen.spec.rules.rule import Problem, rule
from leangen.spec.text.scalars import write_quantity

NAMED = ("model.preset", "model.checkpoint")  # published shapes are as they are
FIELDS = (
    "model.architecture",
    "model.hidden_size",
    "model.intermediate_size",
    "model.num_hidden_layers",
    "model.num_attention_heads",
    "model.num_key_value_heads",
    "model.max_position_embeddings",
    "model.rope_theta",
    "model.rms_norm_eps",
    "model.tie_word_embeddings",
)
SIZES = (
    "model.hidden_size",
    "model.intermediate_size",
    "model.num_attention_heads",
    "model.head_dim",
    "model.moe_intermediate_size",
)  # what the widths of matrices come from: a preset or a checkpoint has all of them
Sizes = tuple[int, int, int, int | None, int | None]
HEAD_UNIT = 8  # ONNX Runtime's GroupQueryAttention takes heads of such widths
GROUP_UNIT = 16  # the smallest group of its integers


@rule("model.hidden_size", *NAMED)
def width_holds_heads(hidden: int, *named: str | None) -> Problem | None:
    """Heads of 8 need a width of 8."""
    if any(named):
        return None
    return _multiple(
        "model.hidden_size", hidden, HEAD_UNIT, "the unit of an attention head"
    )


@rule("model.num_attention_heads", "model.hidden_size", *NAMED)
def heads_divide_width(heads: int, hidden: int, *named: str | None) -> Problem | None:
    """Heads share the width, each a multiple of 8 wide."""
    if any(named):
        return None
    fits = [n for n in _divisors(hidden) if hidden // n % HEAD_UNIT == 0]
    if not fits or heads in fits:
        return None
    return Problem(
        "model.num_attention_heads",
        f"{heads} heads of hidden_size {hidden} would be {hidden / heads:g} wide",
        f"{_nearest(fits, heads)}, for widths that are a multiple of {HEAD_UNIT}",
        str(_closest(fits, heads)),
    )


@rule("model.num_key_value_heads", "model.num_attention_heads")
def key_value_heads_divide_heads(shared: int | None, heads: int) -> Problem | None:
    """Each key and value head serves the same number of query heads."""
    if shared is None or heads % shared == 0:
        return None
    fits = _divisors(heads)
    return Problem(
        "model.num_key_value_heads",
        f"{shared} does not divide num_attention_heads {heads}",
        _nearest(fits, shared),
        str(_closest(fits, shared)),
    )


@rule("quantization.weights", *SIZES)
def matrices_hold_groups(bits: int, *sizes: *Sizes) -> Problem | None:
    """The smallest group of integers is 16 wide."""
    odd = (row for row in _inputs(*sizes).items() if row[1] % GROUP_UNIT)
    name, width = next(odd, ("", 0))
    if bits >= 16 or not name:
        return None
    why = f"the smallest group of {bits}-bit weights"
    return _multiple(f"model.{name}", width, GROUP_UNIT, why)


@rule("quantization.group_size", "quantization.weights", *SIZES)
def groups_divide_widths(group: int, bits: int, *sizes: *Sizes) -> Problem | None:
    """A scale serves whole groups of every matrix's inputs."""
    widths = _inputs(*sizes)
    choices = field_at(("quantization", "group_size"))["enum"]
    fits = [size for size in choices if not _undivided(size, widths)]
    if bits >= 16 or group in fits or not fits:
        return None
    return Problem(
        "quantization.group_size",
        f"groups of {group} do not divide {_undivided(group, widths)}",
        _nearest(fits, group),
        str(_closest(fits, group)),
    )


@rule("sparsity.pattern", *SIZES)
def pattern_divides_widths(pattern: str, *sizes: *Sizes) -> Problem | None:
    """N of every M inputs needs whole groups of M."""
    kept, _, of = pattern.partition(":")
    widths = _inputs(*sizes)
    width = _undivided(int(of), widths) if of else ""
    if not width:
        return None
    message = f"groups of {of} do not divide {width}"
    fits = [m for m in (8, 4) if not _undivided(m, widths)]
    alike = [
        f"{int(kept) * m // int(of)}:{m}" for m in fits if int(kept) * m % int(of) == 0
    ]
    if not fits:
        remedy = f"make the width a multiple of {of}"
        return Problem("sparsity.pattern", message, suggestion=remedy)
    allowed = f"N:M with M {either([str(m) for m in fits])}"
    return Problem("sparsity.pattern", message, allowed, next(iter(alike), ""))


@rule("target.context", "model.max_position_embeddings")
def context_fits_positions(context: int, positions: int) -> Problem | None:
    """A model has seen no position past its longest sequence."""
    if context <= positions:
        return None
    most = write_quantity("context", positions)
    message = f"{context} is more than max_position_embeddings {positions}"
    return Problem("target.context", message, f"at most {most}", most)


def _multiple(field: str, width: int, unit: int, why: str) -> Problem | None:
    if width % unit == 0:
        return None
    nearest = max(unit, round(width / unit) * unit)
    message = f"{width} is not a multiple of {unit}, {why}"
    return Problem(field, message, f"a multiple of {unit}", str(nearest))


def _inputs(
    hidden: int,
    inner: int,
    heads: int,
    head_dim: int | None,
    expert: int | None,
) -> dict[str, int]:
    """Name how many inputs a layer's matrices have, each once."""
    found = {"hidden_size": hidden}
    found |= (
        {"moe_intermediate_size": expert} if expert else {"intermediate_size": inner}
    )
    return found | ({"num_attention_heads": heads * head_dim} if head_dim else {})


def _undivided(unit: int, widths: dict[str, int]) -> str:
    """Name the first width that a unit does not divide, '' if it divides all."""
    odd = (f"{name} {width}" for name, width in widths.items() if width % unit)
    return next(odd, "").replace(
        "num_attention_heads", "num_attention_heads x head_dim"
    )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _closest(choices: Iterable[int], wanted: int) -> int:
    return min(choices, key=lambda choice: abs(choice - wanted))


def _nearest(choices: Iterable[int], wanted: int) -> str:
    """Join the few choices that are nearest, in their order."""
    near = sorted(choices, key=lambda choice: abs(choice - wanted))[:4]
    return either([str(choice) for choice in sorted(near)])


RULES = (
    width_holds_heads,
    heads_divide_width,
    key_value_heads_divide_heads,
    matrices_hold_groups,
    groups_divide_widths,
    pattern_divides_widths,
    context_fits_positions,
)
