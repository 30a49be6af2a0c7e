"""Export: the checkpoint, mapped, and a block of it at work."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan, arrange
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.storage import float32
from leangen.spec import Spec

RUNTIME = 40 * MIB  # Python, numpy, onnx
BLOCK_EXPONENT = 20
BLOCK = 2**BLOCK_EXPONENT  # weights that are converted at once
BLOCK_BYTES = 12  # of each: three arrays of float32, while it is rounded
STORAGE = {32: "float32", 16: "float16"}  # by bits; fewer are quantized
ACCURACY_LEVEL = {"int8": 4, "float32": 1}  # of ONNX Runtime's MatMulNBits


def plan_export(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the export."""
    bits = spec.quantization.weights
    return StagePlan(
        stage="export",
        place=target_place(spec, "cpu"),
        ledger=arrange([*_checkpoint(spec, counts), *_at_work(spec, counts)]),
        constants={
            "storage": STORAGE.get(bits, "quantized"),
            "accuracy_level": ACCURACY_LEVEL[spec.quantization.arithmetic],
            "head_bits": spec.engine.head.get(bits, bits),
            "block_exponent": BLOCK_EXPONENT,
        },
    )


def _largest(counts: Counts) -> int:
    """Weights of the largest matrix that there is."""
    return max(counts.embedding, counts.largest)


def _checkpoint(spec: Spec, counts: Counts) -> list[Item]:
    """Account for the mapped weights; a given checkpoint goes through matrix by matrix."""
    if spec.model.pretrained:
        return [float32("weights", _largest(counts))]
    return [
        float32("weights", counts.matrices),
        float32("embeddings", counts.embedding + counts.head),
        float32("norms", counts.small),
    ]


def _at_work(spec: Spec, counts: Counts) -> list[Item]:
    """Account for a block, and for the matrix of integers that blocks add up to."""
    matrix = _largest(counts)
    block = min(BLOCK, matrix)
    size, formula = BLOCK_BYTES * block, f"{block:,} weights x {BLOCK_BYTES} bytes"
    if spec.quantization.weights < 16:
        size, formula = size + matrix, f"{formula}, {matrix:,} as integers"
    return [
        Item("activations", size, formula, MEASURED),
        Item("runtime", RUNTIME, "Python, numpy, onnx", MEASURED),
    ]
