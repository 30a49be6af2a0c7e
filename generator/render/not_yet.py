"""What can be planned already and not be built yet: one clear line each."""

from collections.abc import Iterator

from leangen.generator.plan.named import bits_of_experts, parts_experts
from leangen.generator.plan.storage import cache_rows
from leangen.generator.stages.traits import (
    calibrates_cache,
    measures_in_torch,
    on_grid,
    recovers_by_layers,
)
from leangen.spec import Spec
from leangen.spec.catalogue.on_gpu import lacks
from leangen.spec.spec import Model

MOST_SEQUENCES = 256  # a thread, and file numbers, for each
GROUPS = (32, 64, 128)  # inputs, into which products.py parts a unit
HEAD_UNIT = 8  # ONNX Runtime's GroupQueryAttention takes such widths


def not_yet(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Yield the field, what is not built yet, and what can be built instead."""
    model, serve = spec.model, spec.serve
    if model.pretrained and not model.checkpoint:
        yield (
            "model.preset",
            "a published model without its weights",
            "model.checkpoint with its folder; or train one: add train.tokens",
        )
        return
    yield from _model(model)
    yield from _combination(spec)
    if serve.engine not in ("onnxruntime", "torch"):
        yield "serve.engine", f"a server for {serve.engine}", "onnxruntime, or torch"
    if serve.engine == "torch":
        yield from _torch(spec)
    elif serve.device != "cpu":
        what, instead = (
            "a server of onnxruntime on a GPU",
            "engine: torch, or device: cpu",
        )
        yield "serve.device", what, instead
    if spec.target.batch != 1 and serve.engine != "torch":
        yield "target.batch", "a server of several sequences", "batch: 1"


def _torch(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Yield what the engine on a GPU does not have yet."""
    model, named = spec.model, "model.checkpoint" if spec.model.checkpoint else "model"
    instead = "serve: {engine: onnxruntime, device: cpu}"
    if spec.target.batch > MOST_SEQUENCES:
        what = f"more than {MOST_SEQUENCES} sequences in torch"
        yield "target.batch", what, f"batch: {MOST_SEQUENCES}, or less"
    if not measures_in_torch(spec):
        what = "an engine in torch, where nothing else is on a GPU"
        yield "train.hardware", what, f"the GPU that serves, or {instead}"
    for field, what in lacks(spec.target.hardware, vars(model)):
        yield named if field == "model" else field, f"{what} in torch", instead
    if model.sliding_window and spec.target.context > model.sliding_window:
        what = f"a sliding window of {model.sliding_window} tokens in torch"
        less = f"context: {model.sliding_window}, or less"
        yield "target.context", what, f"{less}; or {instead}"
    if spec.quantization.weights < 16 and spec.quantization.group_size not in GROUPS:
        what = f"groups of {spec.quantization.group_size} in torch"
        yield "quantization.group_size", what, "32, 64 or 128"
    if spec.quantization.exceptions:
        what = "matrices that differ in bits in torch"
        yield "quantization.exceptions", what, instead


def _combination(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Yield what a model has, and the engine not at what the spec asks for."""
    model, quantization = spec.model, spec.quantization
    if model.partial_window and spec.target.context > model.partial_window:
        yield (
            "target.context",
            f"a sliding window of {model.partial_window} tokens in some layers alone",
            f"context: {model.partial_window}, or less: then it does not matter",
        )
    if model.num_experts and spec.sparsity.method == "sparsegpt":
        what = "SparseGPT for a mixture of experts"
        yield "sparsity.method", what, "wanda"
    if model.num_experts and on_grid(spec):
        yield "quantization.method", "GPTQ for a mixture of experts", "nearest"
    if model.num_experts and quantization.weights == 2:
        yield "quantization.weights", "a mixture of experts in 2 bits", "weights: 4"
    if model.num_experts and recovers_by_layers(spec):
        what = "recovery by layers for a mixture of experts"
        yield "sparsity.recover.scope", what, "scope: model"
    if calibrates_cache(spec) and measures_in_torch(spec):
        what = "8 bits where models are measured on the GPU that trains them"
        yield "quantization.kv_cache", what, "kv_cache: 32"
    if model.num_experts and parts_experts(spec):
        # ONNX Runtime's QMoE has one number of bits for all of a layer's experts.
        what = "other bits for some of an expert's matrices"
        together = f"{model.gate}, {model.up} and {model.down} of a layer, or none"
        yield "quantization.exceptions", what, together
    packed = "compressed-tensors" in spec.export.formats
    if model.num_experts and quantization.exceptions and packed:
        # vLLM looks for the bits of experts by other names than those of linear layers.
        what = "compressed-tensors with experts where matrices differ in bits"
        yield "export.formats", what, "gguf, or no quantization.exceptions"
    rows = cache_rows(model, spec.engine, spec.target.context)
    if calibrates_cache(spec) and rows < spec.target.context and model.head_dim % 16:
        # GroupQueryAttention has no such heads in a cache that slides.
        what = f"8 bits for a window of heads {model.head_dim} wide"
        yield "quantization.kv_cache", what, "kv_cache: 32"
    exact = quantization.arithmetic == "float32"
    if model.num_experts and exact and 8 in bits_of_experts(spec):
        # ONNX Runtime's QMoE rounds the inputs of such experts at any level.
        what = "experts of 8 bits in float32 arithmetic"
        yield "quantization.arithmetic", what, "int8; or weights: 4"


def _model(model: Model) -> Iterator[tuple[str, str, str]]:
    """Yield what model.py, or the graph, cannot spell out."""
    named = "model.checkpoint" if model.checkpoint else "model.preset"
    if not model.checkpoint and model.architecture != "llama":
        what = f"{model.preset} ({model.architecture}) from scratch"
        yield named, what, "a preset whose model_type is llama"
    if model.rope_scaling and model.rope_scaling.rope_type != "llama3":
        what = f"rotary scaling of type {model.rope_scaling.rope_type}"
        yield named, what, "a model with rope_type llama3 or default"
    if model.num_experts and model.num_sparse_layers < model.num_hidden_layers:
        yield (
            named,
            "a model with both dense and sparse layers",
            "one with experts in all",
        )
    if model.head_dim % HEAD_UNIT:
        what = f"attention heads {model.head_dim} wide"
        yield named, what, f"a model with heads that are a multiple of {HEAD_UNIT} wide"
