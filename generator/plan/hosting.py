"""Memory of what runs a finished model: export, evaluation, and serving."""

from leangen.generator.plan.accounting import PUBLISHED, count, kv_cache, stored
from leangen.generator.plan.ledger import Item, largest
from leangen.spec import Engine, Spec, engines
from leangen.spec.spec import Model

MIB = 2**20
MEASURED = "measured, resident on x86 (docs/results.md)"
EXPORT_RUNTIME = 40 * MIB  # Python, numpy, onnx
EVALUATE_RUNTIME = 64 * MIB  # Python, numpy, onnxruntime and its session
TOKENIZER = 14 * MIB  # the tokenizers package, and a vocabulary
BLOCK = 2**20  # weights that export.py converts at once
CHUNK = 512  # tokens whose logits evaluate.py holds at once
PREFILL = "3 x intermediate + 4 x hidden: reproduces measured prefill peaks within 3 %"


def engine_of(spec: Spec) -> Engine:
    """The engine that serves, on its device."""
    return spec.engine


def skips_zeros(spec: Spec) -> bool:
    """Whether the engine stores only the kept weights of the pattern, at these bits."""
    able = engine_of(spec).patterns.get(spec.sparsity.pattern, ())
    return spec.quantization.weights in able and spec.target.hardware.sparse_24


def _activations(model: Model, tokens: int, element: int) -> Item:
    width = max(model.intermediate_size, model.moe_intermediate_size)
    each = 3 * width + 4 * model.hidden_size
    formula = f"{tokens:,} tokens x {each:,} x {8 * element} bits"
    return Item("activations", tokens * each * element, formula, PREFILL)


def serve(spec: Spec) -> tuple[str, tuple[Item, ...]]:
    """List what a server holds when every sequence has filled its context."""
    engine, model = engine_of(spec), spec.model
    target, quantization = spec.target, spec.quantization
    weights = stored(model, engine, quantization, skips_zeros(spec))
    runtime = engine.runtime_bytes
    if engine.device == "cpu" and spec.tokenizer.kind != "bytes":
        runtime += TOKENIZER
    what = "libraries, workspaces"
    if engine.engine == "onnxruntime":
        runtime += 4 * target.context * model.head_dim
        what += ", rotary tables"
    held = [*weights, Item("runtime", runtime, what, engine.source)]
    step = min(engine.step or target.context, target.context)
    logits = 4 * model.vocab_size * target.batch
    full = [
        *held,
        kv_cache(model, engine, quantization.kv_cache, target.context, target.batch),
        _activations(model, step, 4 if engine.device == "cpu" else 2),
        Item(
            "logits",
            logits,
            f"{target.batch} x {model.vocab_size:,} x 32 bits",
            MEASURED,
        ),
    ]
    if not engine.widens or quantization.weights != 16:
        return largest(("all contexts full", full))
    matrix = 4 * model.vocab_size * model.hidden_size
    widened = Item("activations", matrix, "the head, while it is widened", MEASURED)
    return largest(("all contexts full", full), ("loading", [*held, widened]))


def evaluate(spec: Spec) -> tuple[str, tuple[Item, ...]]:
    """List what evaluate.py holds with a checkpoint: float32 in ONNX Runtime on the CPU."""
    counts, model = count(spec.model), spec.model
    engine = engines()["onnxruntime-cpu"]
    tokens, vocab_size = min(CHUNK, spec.target.context), model.vocab_size
    formula = f"3 x {tokens} tokens x {vocab_size:,} x 32 bits"
    items = [
        _float32("weights", counts.matrices),
        _float32("embeddings", 2 * counts.embedding),  # a tied head is packed apart
        _float32("norms", counts.small),
        kv_cache(model, engine, 32, spec.target.context, 1),
        _activations(model, tokens, 4),
        Item("logits", 12 * tokens * vocab_size, formula, MEASURED),
        Item("runtime", EVALUATE_RUNTIME, "Python, numpy, onnxruntime", MEASURED),
    ]
    return largest(("a checkpoint's logits", items))


def _largest_matrix(model: Model) -> int:
    """Weights of the largest matrix that there is."""
    return model.hidden_size * max(model.vocab_size, model.intermediate_size)


def export(spec: Spec) -> tuple[str, tuple[Item, ...]]:
    """List what export.py holds: the checkpoint, mapped, and a block of it at work.

    A given checkpoint goes through matrix by matrix.
    """
    counts, matrix = count(spec.model), _largest_matrix(spec.model)
    block = min(BLOCK, matrix)
    size, formula = 12 * block, f"{block:,} weights x 12 bytes"
    if spec.quantization.weights < 16:
        size, formula = size + matrix, f"{formula}, {matrix:,} as integers"
    work = Item("activations", size, formula, MEASURED)
    runtime = Item("runtime", EXPORT_RUNTIME, "Python, numpy, onnx", MEASURED)
    if spec.model.pretrained:
        return largest(("", [_float32("weights", matrix), work, runtime]))
    items = [
        _float32("weights", counts.matrices),
        _float32("embeddings", counts.embedding + counts.head),
        _float32("norms", counts.small),
        work,
        runtime,
    ]
    return largest(("", items))


def _float32(item: str, weights: int) -> Item:
    return Item(item, 4 * weights, f"{weights:,} x 32 bits", PUBLISHED)
