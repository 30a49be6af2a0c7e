"""Evaluation on the CPU: a checkpoint in float32, and a chunk of its logits."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.evaluate_torch import plan_in_torch, texts_and_windows
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan, arrange
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.serve import activations, tokenizer_bytes
from leangen.generator.plan.storage import Cache, float32, kv_cache
from leangen.generator.stages.traits import measures_in_torch
from leangen.spec import Spec, engines

RUNTIME = 64 * MIB  # Python, numpy, onnxruntime and its session
PREFILL = 512  # tokens of a step
LOGITS_BYTES = 2**25  # of a chunk's logits, at most: there are several such arrays
LOGITS = 6  # arrays: logits of two models, shifted, their exponentials
CONTINUED = 96  # tokens of a sample


def plan_evaluate(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the evaluation: on a GPU where training has one, else in ONNX Runtime."""
    if measures_in_torch(spec):
        return plan_in_torch(spec, counts, PREFILL)
    return StagePlan(
        stage="evaluate",
        place=target_place(spec, "cpu"),
        ledger=arrange(_ledger(spec, counts)),
        moment="a checkpoint's logits",
        constants={
            "instrument": "onnx",
            "chunk": chunk(spec.model.vocab_size),
            "prefill": PREFILL,
            "continued": CONTINUED,
        },
    )


def chunk(vocab_size: int) -> int:
    """Tokens whose logits are in memory at once."""
    return min(PREFILL, max(16, LOGITS_BYTES // (4 * vocab_size)))


def _ledger(spec: Spec, counts: Counts) -> list[Item]:
    model, context = spec.model, spec.target.context
    cache = Cache(model, engines()["onnxruntime-cpu"], bits=32)
    vocabulary = model.vocab_size
    tokens = min(chunk(vocabulary), context)
    formula = f"{LOGITS} x {tokens} tokens x {vocabulary:,} x 32 bits"
    return [
        float32("weights", counts.matrices),
        float32("embeddings", 2 * counts.embedding),  # a tied head is packed apart
        float32("norms", counts.small),
        kv_cache(cache, context, batch=1),
        activations(model, tokens, element=4),
        Item("logits", 4 * LOGITS * tokens * vocabulary, formula, MEASURED),
        _features(spec),
        _runtime(spec),
    ]


def _features(spec: Spec) -> Item:
    """Account for what is kept of the dense model: its features of every text."""
    width, each = spec.model.hidden_size, max(spec.evaluate.tokens, spec.target.context)
    texts = texts_and_windows(spec)
    formula = f"{texts} texts x {each:,} tokens x {width:,} x 32 bits"
    return Item("teacher", 4 * texts * each * width, formula, "evaluate.py")


def _runtime(spec: Spec) -> Item:
    """Account for what is there before a model is: samples need the vocabulary."""
    size, what = RUNTIME, "Python, numpy, onnxruntime"
    if spec.tokenizer.kind != "bytes":
        size, what = size + tokenizer_bytes(spec), f"{what}, tokenizers"
    return Item("runtime", size, what, MEASURED)
