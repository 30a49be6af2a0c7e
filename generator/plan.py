"""Spec -> Plan: what the model takes in bytes, and the decisions that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from leangen.generator import accounting
from leangen.generator.stages import Stage, checkpoints_of, select, stages_of
from leangen.spec import Spec, catalogue

RUNTIME = {"cpu": 512 * 2**20, "cuda": 1024 * 2**20}  # Python, libraries, context
STORAGE = {32: "float32", 16: "float16"}  # by bits; fewer are quantized
ACCURACY_LEVEL = {"int8": 4, "float32": 1}  # of ONNX Runtime's MatMulNBits
MICRO_BATCH_TOKENS = {"cpu": 16_384, "cuda": 65_536}  # more is hardly faster


@dataclass(frozen=True)
class Demand:
    """What a stage takes at its peak, and what it may take, in bytes."""

    peak_bytes: int
    budget_bytes: int

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= self.budget_bytes


@dataclass(frozen=True)
class Plan:
    """Figures of a model before anything runs; demands and decisions are by stage.

    This is the first plan: weights, KV cache, and the memory of training. What each
    stage holds beyond that is not in it yet.
    """

    name: str
    parameters: int
    exported_bytes: int
    kv_bytes_per_token: int
    kv_bytes: int
    demands: Mapping[str, Demand]
    decisions: Mapping[str, Mapping[str, object]]


def plan(spec: Spec) -> Plan:
    """Account for a spec, and decide what its scripts hold as constants."""
    model, vocab_size = spec.model, spec.tokenizer.vocab_size
    kv_bytes_per_token = accounting.kv_bytes_per_token(model)
    return Plan(
        name=spec.name,
        parameters=accounting.parameters(model, vocab_size),
        exported_bytes=accounting.exported_bytes(model, vocab_size, spec.quantization),
        kv_bytes_per_token=kv_bytes_per_token,
        kv_bytes=kv_bytes_per_token * spec.target.context,
        demands=_demands(spec),
        decisions={stage.name: _decide(spec, stage) for stage in stages_of(spec)},
    )


def _demands(spec: Spec) -> dict[str, Demand]:
    """Set what training and serving take beside what they may take."""
    demands = {}
    for stage in stages_of(spec):
        if stage.name in ("train", "recover"):
            view = select(spec, stage.fields)
            peak = training_bytes(view, micro_batch(view))
            demands[stage.name] = Demand(peak, training_budget(view))
    vocab_size = spec.tokenizer.vocab_size
    weights = accounting.exported_bytes(spec.model, vocab_size, spec.quantization)
    cache = accounting.kv_bytes_per_token(spec.model) * spec.target.context
    served = weights + cache + RUNTIME["cpu"]
    return demands | {"serve": Demand(served, spec.target.vram_budget)}


def _decide(spec: Spec, stage: Stage) -> dict[str, object]:
    """Decide for a stage, by what it may see of the spec, and by which stages there are."""
    view = select(spec, stage.fields)
    if stage.name in ("train", "prune", "recover"):
        return {"device": device_of(view), "micro_batch": micro_batch(view)}
    if stage.name == "export":
        storage = STORAGE.get(view.quantization.weights, "quantized")
        level = ACCURACY_LEVEL[view.quantization.arithmetic]
        decided = {"storage": storage, "accuracy_level": level}
        return decided | {"checkpoints": checkpoints_of(spec)}
    if stage.name == "evaluate":
        return {"checkpoints": checkpoints_of(spec)}
    return {}


def training_bytes(view: SimpleNamespace, sequences: int) -> int:
    """Estimate the peak of a training step on so many sequences at once.

    float32 weights, gradients and two moments; per token and layer what the backward
    pass needs of the norms, the attention and the feed-forward network; logits three
    times. A teacher adds its weights, and its logits twice.
    """
    model, vocab_size = view.model, view.tokenizer.vocab_size
    recover = getattr(getattr(view, "sparsity", None), "recover", None)
    teacher = recover is not None and recover.distill
    state = (20 if teacher else 16) * accounting.parameters(model, vocab_size)
    element = 4 if view.train.precision == "float32" else 2
    layer = 10 * model.hidden_size + 4 * model.intermediate_size
    token = model.num_hidden_layers * layer * element
    token += (20 if teacher else 12) * vocab_size
    activations = sequences * model.max_position_embeddings * token
    return int(state + activations + RUNTIME[device_of(view)])


def training_budget(view: SimpleNamespace) -> int:
    """Bytes that training may take: those of the target where it runs there."""
    if view.train.hardware == view.target.hardware:
        return int(view.target.vram_budget)
    return catalogue()[view.train.hardware].usable_bytes


def micro_batch(view: SimpleNamespace) -> int:
    """Choose the most sequences at once that divide the batch, help and fit."""
    useful = MICRO_BATCH_TOKENS[device_of(view)] // view.model.max_position_embeddings
    largest = min(view.train.batch_size, max(1, useful))
    divisors = [n for n in range(1, largest + 1) if view.train.batch_size % n == 0]
    budget = training_budget(view)
    return max((n for n in divisors if training_bytes(view, n) <= budget), default=1)


def device_of(view: SimpleNamespace) -> str:
    """Name torch's device for training: cpu or cuda."""
    return catalogue()[view.train.hardware].kind
