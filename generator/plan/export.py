"""Export: a block of the checkpoint at work, whatever the size of the model."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan, arrange
from leangen.generator.plan.named import parts_attention
from leangen.generator.plan.packed import is_packed_sparse
from leangen.generator.plan.parameters import PUBLISHED, Counts
from leangen.generator.plan.storage import cache_rows
from leangen.generator.stages.traits import packs
from leangen.spec import Spec

RUNTIME = 40 * MIB  # Python, numpy, onnx
BLOCK_EXPONENT = 20
BLOCK = 2**BLOCK_EXPONENT  # weights that are converted at once
ROWS = 128  # that are packed at once, and as many left of the block before
BLOCK_BYTES = 24  # of each: six arrays of float32, while it is rounded
STORAGE = {32: "float32", 16: "float16"}  # by bits; fewer are quantized
ACCURACY_LEVEL = {"int8": 4, "float32": 1}  # of ONNX Runtime's MatMulNBits


def plan_export(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the export."""
    bits = spec.quantization.weights
    if packs(spec):
        return _plan_packing(spec, counts)
    return StagePlan(
        stage="export",
        place=target_place(spec, "cpu"),
        ledger=arrange(_ledger(spec, counts)),
        constants={
            "packed": False,
            "storage": STORAGE.get(bits, "quantized"),
            "accuracy_level": ACCURACY_LEVEL[spec.quantization.arithmetic],
            "head_bits": spec.engine.head.get(bits, bits),
            "block_exponent": BLOCK_EXPONENT,
            "parts_attention": parts_attention(spec),
            "cache_rows": cache_rows(spec.model, spec.engine, spec.target.context),
        },
    )


def _plan_packing(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the export for a GPU's tensor cores: some rows at work, whatever the model."""
    bits = spec.quantization.weights
    width = max(spec.model.hidden_size, spec.model.intermediate_size)
    block = min(BLOCK, max(counts.embedding, counts.largest)) + ROWS * width
    formula = f"{block:,} weights x {BLOCK_BYTES} bytes"
    held = [
        Item("activations", BLOCK_BYTES * block, formula, MEASURED),
        Item("runtime", RUNTIME, "Python, numpy", MEASURED),
    ]
    return StagePlan(
        stage="export",
        place=target_place(spec, "cpu"),
        ledger=arrange(held),
        constants={
            "bits": bits,
            "head_bits": spec.engine.head.get(bits, bits),
            "block_exponent": BLOCK_EXPONENT,
            "sparse": is_packed_sparse(spec),
            "packed": True,
        },
    )


def _ledger(spec: Spec, counts: Counts) -> list[Item]:
    """Account for a block, and for the scales of the largest matrix."""
    matrix = max(counts.embedding, counts.largest)
    block = min(BLOCK, matrix)
    formula = f"{block:,} weights x {BLOCK_BYTES} bytes"
    items = [
        Item("activations", BLOCK_BYTES * block, formula, MEASURED),
        Item("norms", 4 * counts.small, f"{counts.small:,} x 32 bits", PUBLISHED),
        Item("runtime", RUNTIME, "Python, numpy, onnx", MEASURED),
    ]
    if spec.quantization.weights < 16:
        groups = matrix // spec.quantization.group_size
        items.append(Item("scales", 4 * groups, f"{groups:,} x 32 bits", MEASURED))
    return items
