"""What a spec asks of its folder, yes or no: which stages and files follow from that."""

from leangen.spec import Spec


def is_new(spec: Spec) -> bool:
    """Whether weights are trained from scratch."""
    return not spec.model.pretrained


def tunes(spec: Spec) -> bool:
    """Whether given weights are trained further."""
    return spec.model.tuned


def is_sparse(spec: Spec) -> bool:
    """Whether weights become zero, or go."""
    return spec.sparsity.pattern != "dense"


def trains(spec: Spec) -> bool:
    """Whether a whole model is trained."""
    whole = recovers(spec) and not recovers_by_layers(spec)
    return is_new(spec) or tunes(spec) or whole


def measures_in_torch(spec: Spec) -> bool:
    """Whether checkpoints are measured where they are trained: on a GPU."""
    return spec.train.hardware.kind == "cuda"


def chats(spec: Spec) -> bool:
    """Whether the model came with a template for conversations."""
    return spec.given is not None and spec.given.chat_template is not None


def calibrates(spec: Spec) -> bool:
    """Whether pruning looks at activations; magnitudes are the weights' own."""
    by_size = spec.sparsity.method == "magnitude" and not spec.sparsity.shrinks
    return is_sparse(spec) and not by_size


def has_zeros(spec: Spec) -> bool:
    """Whether weights become zero, and none go."""
    return is_sparse(spec) and not spec.sparsity.shrinks


def surgical(spec: Spec) -> bool:
    """Whether the weights that stay make up for those that become zero."""
    return is_sparse(spec) and spec.sparsity.method == "sparsegpt"


def on_grid(spec: Spec) -> bool:
    """Whether weights are put on the grid before they are exported."""
    return spec.quantization.method == "gptq"


def fits(spec: Spec) -> bool:
    """Whether matrices are fitted to what a reference makes of calibration text."""
    return surgical(spec) or on_grid(spec)


def rounds_cache(spec: Spec) -> bool:
    """Whether the server that is written holds keys and values as integers."""
    written = spec.engine.id == "onnxruntime-cpu" or packs(spec)
    return written and spec.quantization.kv_cache < 16


def calibrates_cache(spec: Spec) -> bool:
    """Whether their scales are measured on text; the engine of a GPU has them by token."""
    return rounds_cache(spec) and not packs(spec)


def packs(spec: Spec) -> bool:
    """Whether the server that is written runs in torch, on weights packed for a GPU."""
    return spec.engine.id == "torch-cuda" and not spec.model.num_experts


def shares_steps(spec: Spec) -> bool:
    """Whether the server's steps are for several sequences at once."""
    return packs(spec) and spec.target.batch > 1


def reads_calibration(spec: Spec) -> bool:
    """Whether anything is measured on the calibration text."""
    return calibrates(spec) or on_grid(spec) or calibrates_cache(spec)


def measures_bits(spec: Spec) -> bool:
    """Whether it is measured what matrices lose by their bits."""
    integers = spec.quantization.weights in (4, 8)
    return is_here(spec) and spec.evaluate.sensitivity and integers


def measures_pattern(spec: Spec) -> bool:
    """Whether it is measured what matrices lose by the pattern of zeros."""
    return is_here(spec) and spec.evaluate.sensitivity and has_zeros(spec)


def recovers(spec: Spec) -> bool:
    """Whether the pruned model is trained further."""
    return spec.sparsity.recover is not None


def rewind_of(spec: Spec) -> float | None:
    """After which share of the training come the weights that recovery begins with."""
    return spec.sparsity.recover.rewind if spec.sparsity.recover else None


def recovers_by_layers(spec: Spec) -> bool:
    """Whether it is trained one layer after the other."""
    recover = spec.sparsity.recover
    return recover is not None and recover.by_layers


def is_here(spec: Spec) -> bool:
    """Whether there are weights to work on: a published model by its name has none."""
    return is_new(spec) or spec.model.checkpoint is not None


def computes(spec: Spec) -> bool:
    """Whether any stage needs torch."""
    measures = is_here(spec) and measures_in_torch(spec)
    fitted = on_grid(spec) or measures_bits(spec)
    return trains(spec) or is_sparse(spec) or fitted or measures


def lays_out(spec: Spec) -> bool:
    """Whether any stage writes a checkpoint."""
    return computes(spec) or "compressed-tensors" in spec.export.formats
