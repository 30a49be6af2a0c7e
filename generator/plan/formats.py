"""Formats for other engines: a block of the checkpoint at work, and bytes on the disk."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.export import at_work
from leangen.generator.plan.ledger import GIB, MEASURED, Item, StagePlan, arrange
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
PARSED = (
    600  # bytes of memory that a token and its merge take, read from tokenizer.json
)
SCALE_BITS = 16  # of a block of GGUF


def plan_compressed_tensors(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the folder for vLLM: what is not rounded goes through as it is."""
    quantization, wide = spec.quantization, 8 * _element(spec)
    packed = quantization.weights + wide / quantization.group_size
    plain = counts.embedding + counts.head + counts.small
    return StagePlan(
        stage="export_compressed_tensors",
        place=target_place(spec, "cpu"),
        ledger=arrange([_tensor(spec, counts), *at_work(spec, counts)]),
        decisions=(_on_disk(counts.matrices * packed + plain * wide),),
    )


def plan_gguf(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the file for llama.cpp."""
    bits = spec.quantization.weights
    head = spec.engine.head.get(bits, bits)
    scale = SCALE_BITS / spec.quantization.group_size if bits < 16 else 0
    tables = counts.embedding + counts.head
    stored = counts.matrices * (bits + scale) + tables * (head + scale)
    family = ARCHITECTURES[spec.model.architecture]
    return StagePlan(
        stage="export_gguf",
        place=target_place(spec, "cpu"),
        ledger=arrange([*at_work(spec, counts), _vocabulary(spec)]),
        decisions=(_on_disk(stored + 32 * counts.small),),
        constants={"architecture": family, "interleaved": family == "llama"},
    )


def _element(spec: Spec) -> int:
    """Bytes of a number of the checkpoint."""
    return 4 if spec.model.dtype == "float32" else 2


def _tensor(spec: Spec, counts: Counts) -> Item:
    """Account for the largest tensor, which is copied whole."""
    element, table = _element(spec), counts.embedding
    formula = f"{table:,} x {8 * element} bits, while it is copied"
    return Item("embeddings", element * table, formula, MEASURED)


def _vocabulary(spec: Spec) -> Item:
    """Account for tokens and merges; a vocabulary of bytes has next to none."""
    size = spec.model.vocab_size
    formula = f"{size:,} tokens x {PARSED} bytes, and as many merges"
    return Item("calibration", PARSED * size, formula, MEASURED)


def _on_disk(bits: float) -> str:
    return f"{bits / 8 / GIB:.2f} GiB on disk"
