"""Spec -> Plan: what the model takes in bytes, and the decisions that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from leangen.generator import accounting
from leangen.generator.stages import checkpoints_of, select, stages_of
from leangen.spec import Spec, catalogue

RUNTIME = {"cpu": 512 * 2**20, "cuda": 1024 * 2**20}  # Python, libraries, context
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
    decisions = {}
    for stage in stages_of(spec):
        decide = DECIDE.get(stage.name)
        decisions[stage.name] = decide(select(spec, stage.fields)) if decide else {}
        decisions[stage.name]["checkpoints"] = checkpoints_of(spec)
    return Plan(
        name=spec.name,
        parameters=accounting.parameters(model, vocab_size),
        exported_bytes=accounting.exported_bytes(model, vocab_size, spec.quantization),
        kv_bytes_per_token=accounting.kv_bytes_per_token(model),
        kv_bytes=accounting.kv_bytes_per_token(model) * spec.target.context,
        demands=_demands(spec, decisions),
        decisions=decisions,
    )


def _demands(
    spec: Spec, decisions: Mapping[str, Mapping[str, object]]
) -> dict[str, Demand]:
    train = select(spec, ("model", "tokenizer", "train", "target"))
    demands = {}
    for stage in ("train", "recover"):
        if stage in decisions:
            size = decisions[stage]["micro_batch"]
            demands[stage] = Demand(
                training_bytes(train, size), _training_budget(train)
            )
    served = accounting.exported_bytes(
        spec.model, spec.tokenizer.vocab_size, spec.quantization
    )
    cache = accounting.kv_bytes_per_token(spec.model) * spec.target.context
    demands["serve"] = Demand(served + cache + RUNTIME["cpu"], spec.target.vram_budget)
    return demands


def training_bytes(view: SimpleNamespace, sequences: int) -> int:
    """Estimate the peak of a training step on so many sequences at once.

    float32 weights, gradients and two moments; per token and layer what the backward
    pass needs of the norms, the attention and the feed-forward network; logits three times.
    """
    model, vocab_size = view.model, view.tokenizer.vocab_size
    state = 16 * accounting.parameters(model, vocab_size)
    element = 4 if view.train.precision == "float32" else 2
    layer = 10 * model.hidden_size + 4 * model.intermediate_size
    token = model.num_hidden_layers * layer * element + 12 * vocab_size
    return (
        state
        + sequences * model.max_position_embeddings * token
        + RUNTIME[device_of(view)]
    )


def device_of(view: SimpleNamespace) -> str:
    """Name torch's device for training: cpu or cuda."""
    return catalogue()[view.train.hardware].kind


def _training_budget(view: SimpleNamespace) -> int:
    """Bytes that training may take: the budget where it runs on the target."""
    if view.train.hardware == view.target.hardware:
        return int(view.target.vram_budget)
    return catalogue()[view.train.hardware].usable_bytes


def _decide_training(view: SimpleNamespace) -> dict[str, object]:
    """Choose the largest micro-batch that divides the batch, helps and fits."""
    budget = _training_budget(view)
    useful = MICRO_BATCH_TOKENS[device_of(view)] // view.model.max_position_embeddings
    sizes = [
        size
        for size in range(1, min(view.train.batch_size, max(1, useful)) + 1)
        if view.train.batch_size % size == 0 and training_bytes(view, size) <= budget
    ]
    return {"device": device_of(view), "micro_batch": max(sizes, default=1)}


def _decide_export(view: SimpleNamespace) -> dict[str, object]:
    """Choose how weights are stored, and MatMulNBits's accuracy_level."""
    levels = {"int8": 4, "float32": 1}
    storage = {32: "float32", 16: "float16"}.get(view.quantization.weights, "quantized")
    return {"accuracy_level": levels[view.quantization.arithmetic], "storage": storage}


DECIDE: Mapping[str, Callable[[SimpleNamespace], dict[str, object]]] = {
    "train": _decide_training,
    "prune": _decide_training,
    "recover": _decide_training,
    "export": _decide_export,
}
