"""Time of a stage as a range: arithmetic and bytes against the hardware's peak rates."""

from types import SimpleNamespace

from leangen.generator.plan.accounting import Counts, count, kv_bytes_per_token, stored
from leangen.generator.plan.hosting import engine_of, skips_zeros
from leangen.generator.plan.prune import SEQUENCES
from leangen.generator.plan.train_memory import Training, recovery, sequence_length
from leangen.spec import Spec
from leangen.spec.spec import Model

Seconds = tuple[float, float]

# Shares of the peak that were seen at the best and at the worst: training on an H200
# reached 0.40, on two x86 cores 0.7; decoding 0.69 to 0.87 of the bandwidth of GPUs
# (gpt-fast, XiongjieDai's table), 0.36 to 0.70 on CPUs.
ARITHMETIC = {"cpu": (0.8, 0.15), "cuda": (0.55, 0.1)}
BANDWIDTH = {"cpu": (0.8, 0.2), "cuda": (0.9, 0.4)}


def _over(work: float, rate: float, shares: Seconds) -> Seconds:
    best, worst = shares
    return work / (rate * best), work / (rate * worst)


def training_seconds(view: SimpleNamespace, choice: Training) -> Seconds:
    """Six operations a weight and token, eight where layers are computed again.

    Source: Kaplan et al., 2020, arXiv:2001.08361; attention's products besides.
    """
    hardware, recover = view.train.hardware, recovery(view)
    tokens = recover.tokens if recover else view.train.tokens
    forward = _forward(view, count(view.model))
    passes = (4 if choice.checkpointing else 3) + bool(recover and recover.distill)
    rate = hardware.flops_float32
    if view.train.precision == "bf16":
        rate = hardware.flops_bf16
    return _over(passes * forward * tokens, rate, ARITHMETIC[hardware.kind])


def pruning_seconds(view: SimpleNamespace) -> Seconds | None:
    """Two passes of the calibration text through every layer; None for magnitude."""
    if view.sparsity.method == "magnitude":
        return None
    hardware = view.train.hardware
    work = 2 * SEQUENCES * sequence_length(view) * 2 * count(view.model).active
    return _over(work, hardware.flops_float32, ARITHMETIC[hardware.kind])


def _forward(view: SimpleNamespace, counts: Counts) -> float:
    """Operations of a forward pass for each token."""
    model: Model = view.model
    attention = 2 * sequence_length(view) * model.num_attention_heads * model.head_dim
    head = model.vocab_size * model.hidden_size
    return 2 * (counts.active + head) + model.num_hidden_layers * attention


def decoding_seconds(spec: Spec) -> Seconds | None:
    """One more token behind a full context, for each sequence: every byte is read once.

    Of the experts those that a token visits, of the embedding a row. None on the host of
    a GPU, whose bandwidth no spec names.
    """
    engine, bits = engine_of(spec), spec.quantization.weights
    if engine.device != spec.target.hardware.kind:
        return None
    counts, width = count(spec.model), spec.quantization.kv_cache
    held = stored(spec.model, engine, spec.quantization, skips_zeros(spec))
    layers = sum(i.bytes for i in held if i.item in ("weights", "scales", "metadata"))
    cache = kv_bytes_per_token(spec.model, engine, width) * spec.target.context
    work = layers * counts.active / counts.matrices
    work += counts.embedding * engine.head.get(bits, bits) / 8
    work += cache * spec.target.batch
    return _over(work, spec.target.hardware.bandwidth, BANDWIDTH[engine.device])
