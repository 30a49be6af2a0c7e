"""Rules on what other engines' formats can hold."""

from leangen.spec.rules.rule import Problem, idle, rule

FIELD = "export.formats"
BLOCK = 32  # weights that share a scale in GGUF's Q4_0 and Q8_0


@rule("quantization.weights", written=FIELD)
def packed_weights_are_integers(bits: int, formats: list[str] | None) -> Problem | None:
    """compressed-tensors packs integers; floats need no packing."""
    if bits < 16 or "compressed-tensors" not in (formats or []):
        return None
    remedy = "delete it: vLLM loads the checkpoint itself; or write weights: 8"
    return idle(FIELD, f"weights: {bits} and compressed-tensors", remedy)


@rule("quantization.weights", written=FIELD)
def gguf_has_no_two_bits(bits: int, formats: list[str] | None) -> Problem | None:
    """Its types of 2 bits have scales of scales, and zero points."""
    if bits != 2 or "gguf" not in (formats or []):
        return None
    message = "gguf has no 2-bit weights of one scale a group"
    return Problem(FIELD, message, suggestion="write weights: 4, or delete gguf")


@rule("quantization.weights", "quantization.group_size", written=FIELD)
def gguf_has_its_blocks(
    bits: int, group: int, formats: list[str] | None
) -> Problem | None:
    """The format has no other groups."""
    if bits not in (4, 8) or group == BLOCK or "gguf" not in (formats or []):
        return None
    message = f"gguf has {bits}-bit weights in groups of {BLOCK} alone, not of {group}"
    remedy = f"write group_size: {BLOCK}, or delete gguf from export.formats"
    return Problem("quantization.group_size", message, suggestion=remedy)


@rule("model.architecture", "model.norm_topk_prob", written=FIELD)
def gguf_has_its_routing(
    family: str | None, normalizes: bool | None, formats: list[str] | None
) -> Problem | None:
    """llama.cpp divides the shares of the chosen experts by their sum, always."""
    if family != "qwen3_moe" or normalizes or "gguf" not in (formats or []):
        return None
    message = "llama.cpp runs qwen3_moe with norm_topk_prob: true alone"
    return Problem(FIELD, message, suggestion="delete gguf from export.formats")


RULES = (
    packed_weights_are_integers,
    gguf_has_no_two_bits,
    gguf_has_its_blocks,
    gguf_has_its_routing,
)
