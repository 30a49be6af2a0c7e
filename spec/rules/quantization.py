"""Rules on how weights are rounded: what floats have no use for, and who reads text."""

from leangen.spec.rules.rule import Problem, idle, rule


@rule("quantization.weights", written="quantization.group_size")
def floats_have_no_groups(bits: int, group: int | None) -> Problem | None:
    """Only integers have scales."""
    return _only_if_integer("quantization.group_size", bits, group)


@rule("quantization.weights", written="quantization.arithmetic")
def floats_have_no_integers(bits: int, arithmetic: str | None) -> Problem | None:
    """Only integers can be multiplied as integers."""
    return _only_if_integer("quantization.arithmetic", bits, arithmetic)


@rule("quantization.weights", written="quantization.method")
def floats_have_no_method(bits: int, method: str | None) -> Problem | None:
    """Only integers are rounded to."""
    return _only_if_integer("quantization.method", bits, method)


@rule("quantization.method", written="quantization.calibration_sequences")
def only_gptq_needs_sequences(method: str, count: int | None) -> Problem | None:
    """Rounding to nearest reads no text."""
    if method == "gptq" or count is None:
        return None
    field, remedy = (
        "quantization.calibration_sequences",
        "delete it, or write method: gptq",
    )
    return idle(field, f"method: {method}", remedy)


def _only_if_integer(field: str, bits: int, value: object) -> Problem | None:
    if bits < 16 or value is None:
        return None
    return idle(field, f"weights: {bits}", "delete it, or write weights: 8")


RULES = (
    floats_have_no_groups,
    floats_have_no_integers,
    floats_have_no_method,
    only_gptq_needs_sequences,
)
