"""Rules on matrices that have other bits: there are such, and none is named twice."""

from collections.abc import Mapping

from leangen.spec.matrices import Matrix, Name, named, parted, projections
from leangen.spec.rules.names import Listed, of_no_model, said_again
from leangen.spec.rules.rule import Problem, idle, rule
from leangen.spec.structure import some_left

FIELD = "quantization.exceptions"
SHAPE = (
    "model.num_hidden_layers",
    "model.architecture",
    "sparsity.pattern",
    "sparsity.layers",
)
Shape = tuple[int, str, str, float | None]
Exceptions = Mapping[str, list[Name]] | None  # by bits, as they are written
# What vLLM multiplies by as one matrix: a kernel takes one number of bits.
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@rule("quantization.weights", written=FIELD)
def floats_have_no_exceptions(bits: int, exceptions: Exceptions) -> Problem | None:
    """Floats and integers do not stand in one file."""
    if bits < 16 or exceptions is None:
        return None
    return idle(FIELD, f"weights: {bits}", "delete it, or write weights: 4")


@rule("quantization.weights", written=FIELD)
def exceptions_are_other_bits(bits: int, exceptions: Exceptions) -> Problem | None:
    """What has the bits of all is no exception."""
    if bits >= 16 or str(bits) not in (exceptions or {}):
        return None
    message = f"{bits} bits are no exception with weights: {bits}"
    return Problem(f"{FIELD}.{bits}", message, suggestion="delete it")


@rule(FIELD, *SHAPE)
def exceptions_are_of_the_model(
    exceptions: Exceptions, *shape: *Shape
) -> Problem | None:
    """A layer has its number, from 0, and a projection the name that the family gives."""
    layers, _ = _shape(*shape)
    return of_no_model(_listed(exceptions), layers, shape[1])


@rule(FIELD)
def exceptions_are_said_once(exceptions: Exceptions) -> Problem | None:
    """No name is there twice, or inside another: down_proj has 3.down_proj in it."""
    return said_again(_listed(exceptions), "an exception")


@rule("quantization.weights", FIELD, *SHAPE)
def something_is_no_exception(
    bits: int, exceptions: Exceptions, *shape: *Shape
) -> Problem | None:
    """The bits of all are those of some."""
    layers, names = _shape(*shape)
    every = [name for _, name in _listed(exceptions)]
    if not every or len(_matrices(every, shape)) < layers * len(names):
        return None
    remedy = "shorten it, or write these bits as weights"
    return Problem(FIELD, f"leaves nothing with {bits} bits", suggestion=remedy)


@rule(FIELD, *SHAPE, written="export.formats")
def packed_exceptions_are_fused(
    exceptions: Exceptions,
    layers: int,
    family: str,
    pattern: str,
    share: float | None,
    formats: list[str] | None,
) -> Problem | None:
    """vLLM multiplies by some matrices as one, and takes the bits of the first for all."""
    left, names = _shape(layers, family, pattern, share)
    if "compressed-tensors" not in (formats or []):
        return None
    numbered = {int(bits): listed for bits, listed in (exceptions or {}).items()}
    for together in FUSED:
        layer = parted(numbered, left, names, together)
        if layer is not None:
            listed = f"{', '.join(together[:-1])} and {together[-1]}"
            message = f"vLLM multiplies by {listed} of layer {layer} as one matrix"
            remedy = (
                "name all of them, or delete compressed-tensors from export.formats"
            )
            return Problem(FIELD, message, suggestion=remedy)
    return None


def _shape(
    layers: int, family: str, pattern: str, share: float | None
) -> tuple[int, tuple[str, ...]]:
    """Give the number of layers that pruning leaves, and the projections of each."""
    left = some_left(layers, share) if pattern == "structured" else layers
    return left, projections(family)


def _matrices(names: list[Name], shape: Shape) -> set[Matrix]:
    return named(names, *_shape(*shape))


def _listed(exceptions: Exceptions) -> Listed:
    """List every name, with the path where it stands."""
    return [
        (f"{FIELD}.{bits}[{number}]", name)
        for bits, listed in (exceptions or {}).items()
        for number, name in enumerate(listed)
    ]


@rule("evaluate.sensitivity", "quantization.weights", "sparsity.pattern")
def sensitivity_is_of_something(
    sensitivity: bool, bits: int, pattern: str
) -> Problem | None:
    """What it weighs is 4 bits against 8, and zeros against none."""
    if not sensitivity or bits in (4, 8) or pattern not in ("dense", "structured"):
        return None
    field, beside = "evaluate.sensitivity", f"weights: {bits} and pattern: {pattern}"
    return idle(field, beside, "delete it, or write weights: 4")


RULES = (
    sensitivity_is_of_something,
    floats_have_no_exceptions,
    exceptions_are_other_bits,
    exceptions_are_of_the_model,
    exceptions_are_said_once,
    something_is_no_exception,
    packed_exceptions_are_fused,
)
