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


@rule("quantization.weights", "quantization.group_size")
def two_bits_have_their_groups(bits: int, group: int) -> Problem | None:
    """ONNX Runtime's kernels for 2 bits know these; with others it unpacks matrices anew."""
    if bits != 2 or group in (32, 64, 128):
        return None
    message = f"2-bit weights are fast in groups of 32, 64 and 128, not of {group}"
    return Problem("quantization.group_size", message, "32, 64 or 128", "32")


@rule("quantization.weights", "quantization.arithmetic")
def two_bits_are_multiplied_as_integers(bits: int, arithmetic: str) -> Problem | None:
    """ONNX Runtime has no kernel for 2 bits and floats: 100 times as slow as with int8."""
    if bits != 2 or arithmetic == "int8":
        return None
    message = "2-bit weights have no fast kernel in float32 arithmetic"
    return Problem("quantization.arithmetic", message, "int8", "int8")


def _only_if_integer(field: str, bits: int, value: object) -> Problem | None:
    if bits < 16 or value is None:
        return None
    return idle(field, f"weights: {bits}", "delete it, or write weights: 8")


RULES = (
    floats_have_no_groups,
    floats_have_no_integers,
    floats_have_no_method,
    only_gptq_needs_sequences,
    two_bits_have_their_groups,
    two_bits_are_multiplied_as_integers,
)
