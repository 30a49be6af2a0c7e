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
HEAD_UNIT = 16  # ONNX Runtime's GroupQueryAttention rotates heads of such widths


@rule("model.hidden_size", *NAMED)
def width_holds_heads(hidden: int, *named: str | None) -> Problem | None:
    """Heads of 16 need a width of 16."""
    if any(named):
        return None
    return _multiple("model.hidden_size", hidden, "the unit of an attention head")


@rule("model.num_attention_heads", "model.hidden_size", *NAMED)
def heads_divide_width(heads: int, hidden: int, *named: str | None) -> Problem | None:
    """Heads share the width, each a multiple of 16 wide."""
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


@rule("model.intermediate_size", "quantization.weights")
def feed_forward_holds_groups(width: int, bits: int) -> Problem | None:
    """The smallest group of integers is 16 wide."""
    why = f"the smallest group of {bits}-bit weights"
    return _multiple("model.intermediate_size", width, why) if bits < 16 else None


@rule(
    "quantization.group_size",
    "quantization.weights",
    "model.intermediate_size",
    "model.hidden_size",
)
def groups_divide_widths(
    group: int, bits: int, inner: int, hidden: int
) -> Problem | None:
    """A scale serves whole groups of every matrix's inputs."""
    sizes = field_at(("quantization", "group_size"))["enum"]
    fits = [size for size in sizes if inner % size == hidden % size == 0]
    if bits >= 16 or group in fits or not fits:
        return None
    return Problem(
        "quantization.group_size",
        f"groups of {group} do not divide {_undivided(group, inner, hidden)}",
        _nearest(fits, group),
        str(_closest(fits, group)),
    )


@rule("sparsity.pattern", "model.intermediate_size", "model.hidden_size")
def pattern_divides_widths(pattern: str, inner: int, hidden: int) -> Problem | None:
    """N of every M inputs needs whole groups of M."""
    kept, _, of = pattern.partition(":")
    width = _undivided(int(of), inner, hidden) if of else ""
    if not width:
        return None
    message = f"groups of {of} do not divide {width}"
    fits = [m for m in (8, 4) if not _undivided(m, inner, hidden)]
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


def _multiple(field: str, width: int, why: str) -> Problem | None:
    if width % HEAD_UNIT == 0:
        return None
    nearest = max(HEAD_UNIT, round(width / HEAD_UNIT) * HEAD_UNIT)
    message = f"{width} is not a multiple of {HEAD_UNIT}, {why}"
    return Problem(field, message, f"a multiple of {HEAD_UNIT}", str(nearest))


def _undivided(unit: int, inner: int, hidden: int) -> str:
    """Name the first width that a unit does not divide, '' if it divides both."""
    widths = {"hidden_size": hidden, "intermediate_size": inner}
    return next((f"{name} {n}" for name, n in widths.items() if n % unit), "")


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
    feed_forward_holds_groups,
    groups_divide_widths,
    pattern_divides_widths,
    context_fits_positions,
)
