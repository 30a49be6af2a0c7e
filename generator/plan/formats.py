"""Formats for other engines: a block of the checkpoint at work, and bytes on the disk."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.export import BLOCK, BLOCK_BYTES
from leangen.generator.plan.ledger import (
    GIB,
    MEASURED,
    MIB,
    Item,
    StagePlan,
    arrange,
    largest,
)
from leangen.generator.plan.named import mean_bits, weights_by_bits
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec

ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
}  # of llama.cpp's, by model_type
RUNTIME = Item("runtime", 38 * MIB, "Python, numpy", MEASURED)
PARSED = (
    600  # bytes of memory that a token and its merge take, read from tokenizer.json
)
SCALE_BITS = 16  # of a block of GGUF


def plan_compressed_tensors(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the folder for vLLM: what is not rounded goes through as it is."""
    by_bits, wide = weights_by_bits(spec, counts), 8 * _element(spec)
    scale = wide / spec.quantization.group_size
    packed = mean_bits(by_bits) + scale
    plain = counts.embedding + counts.head + counts.small
    copied = f"{counts.embedding:,} x {wide} bits"
    table = Item("embeddings", wide // 8 * counts.embedding, copied, MEASURED)
    rounding = [_block(counts), _matrix(counts, (max(by_bits) + scale) / 8)]
    moment, held = largest(
        ("the embedding, while it is copied", [table, RUNTIME]),
        ("the largest matrix, while it is rounded", [*rounding, RUNTIME]),
    )
    return StagePlan(
        stage="export_compressed_tensors",
        place=target_place(spec, "cpu"),
        ledger=held,
        moment=moment,
        decisions=(_on_disk(counts.matrices * packed + plain * wide),),
    )


def plan_gguf(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the file for llama.cpp: all of it is a stream, but for what changes places."""
    bits = spec.quantization.weights
    head = spec.engine.head.get(bits, bits)
    scale = SCALE_BITS / spec.quantization.group_size if bits < 16 else 0
    tables = counts.embedding + counts.head
    by_bits = weights_by_bits(spec, counts)
    stored = counts.matrices * (mean_bits(by_bits) + scale) + tables * (head + scale)
    family = ARCHITECTURES[spec.model.architecture]
    interleaved = family == "llama"
    query = _matrix(counts, 2 * (max(by_bits) + scale) / 8)
    held = [_block(counts), _runtime(spec)]
    return StagePlan(
        stage="export_gguf",
        place=target_place(spec, "cpu"),
        ledger=arrange([*held, query] if interleaved else held),
        decisions=(_on_disk(stored + 32 * counts.small),),
        constants={"architecture": family, "interleaved": interleaved},
    )


def _element(spec: Spec) -> int:
    """Bytes of a number of the checkpoint."""
    return 4 if spec.model.dtype == "float32" else 2


def _block(counts: Counts) -> Item:
    """Account for the weights that are rounded at once."""
    block = min(BLOCK, max(counts.embedding, counts.largest))
    formula = f"{block:,} weights x {BLOCK_BYTES} bytes"
    return Item("activations", BLOCK_BYTES * block, formula, MEASURED)


def _matrix(counts: Counts, each: float) -> Item:
    """Account for a layer's largest matrix as it is stored."""
    formula = f"{counts.largest:,} weights x {each:g} bytes, as stored"
    return Item("weights", int(counts.largest * each), formula, MEASURED)


def _runtime(spec: Spec) -> Item:
    """Account for Python, tokens and merges; a vocabulary of bytes has next to none."""
    size = spec.model.vocab_size if spec.tokenizer.kind != "bytes" else 0
    formula = f"Python, numpy, {size:,} tokens and their merges x {PARSED} bytes"
    return Item("runtime", RUNTIME.bytes + PARSED * size, formula, MEASURED)


def _on_disk(bits: float) -> str:
    return f"{bits / 8 / GIB:.2f} GiB on disk"
