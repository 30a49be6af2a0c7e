"""What can be planned already and not be built yet: one clear line each."""

from collections.abc import Iterator

from leangen.spec import Spec
from leangen.spec.rules.widths import HEAD_UNIT
from leangen.spec.spec import Model


def not_yet(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Yield the field, what is not built yet, and what can be built instead."""
    model, serve = spec.model, spec.serve
    if model.checkpoint:
        yield (
            "model.checkpoint",
            "a checkpoint",
            "a preset with train.tokens, or a shape",
        )
        return
    if model.pretrained:
        yield (
            "model.preset",
            "a published model",
            "one trained from scratch: add train.tokens",
        )
        return
    if not _has_template(model):
        yield (
            "model.preset",
            f"{model.preset} ({model.architecture})",
            "a preset whose model_type is llama",
        )
    if serve.engine != "onnxruntime":
        yield "serve.engine", f"a server for {serve.engine}", "onnxruntime"
    if serve.device != "cpu":
        yield "serve.device", "a server on a GPU", "device: cpu"
    if spec.quantization.kv_cache != 32:
        yield "quantization.kv_cache", "a cache of fewer bits", "kv_cache: 32"
    if spec.target.batch != 1:
        yield "target.batch", "a server of several sequences", "batch: 1"


def _has_template(model: Model) -> bool:
    """Whether model.py and export.py can spell the model out."""
    plain = model.architecture == "llama" and not (model.qkv_bias or model.mlp_bias)
    square = model.head_dim * model.num_attention_heads == model.hidden_size
    shared = model.num_attention_heads % model.num_key_value_heads == 0
    return plain and square and shared and model.head_dim % HEAD_UNIT == 0
