"""Spec -> Plan: what every stage holds in bytes, and the decisions that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leangen.generator.plan import hosting, timing
from leangen.generator.plan import prune as pruning
from leangen.generator.plan import train as training
from leangen.generator.plan import train_memory as training_memory
from leangen.generator.plan.accounting import count, kv_bytes_per_token, stored
from leangen.generator.plan.ledger import Item, StagePlan, arrange
from leangen.generator.plan.notes import warnings
from leangen.generator.stages import Stage, checkpoints_of, select, stages_of
from leangen.spec import Spec

STORAGE = {32: "float32", 16: "float16"}  # by bits; fewer are quantized
ACCURACY_LEVEL = {"int8": 4, "float32": 1}  # of ONNX Runtime's MatMulNBits
DATA_RUNTIME = {"bytes": 40 * 2**20, "bpe": 330 * 2**20}  # a BPE counts all words
DOCSTRINGS_RUNTIME = {"bytes": 50 * 2**20, "bpe": 72 * 2**20}  # parsed; few words


@dataclass(frozen=True)
class Plan:
    """Figures of a model before anything runs; stages are by name."""

    name: str
    parameters: int
    active_parameters: int
    exported_bytes: int
    kv_bytes_per_token: int
    stages: Mapping[str, StagePlan]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every stage is within its budget."""
        return all(stage.fits for stage in self.stages.values())


def plan(spec: Spec) -> Plan:
    """Account for a spec, and decide what its scripts hold as constants."""
    counts, engine = count(spec.model), hosting.engine_of(spec)
    quantization = spec.quantization
    file = stored(
        spec.model, engine, quantization, hosting.skips_zeros(spec), loaded=False
    )
    return Plan(
        name=spec.name,
        parameters=counts.total,
        active_parameters=counts.active_total,
        exported_bytes=sum(item.bytes for item in file),
        kv_bytes_per_token=kv_bytes_per_token(
            spec.model, engine, quantization.kv_cache
        ),
        stages={s.name: PLANNERS[s.name](spec, s) for s in stages_of(spec) if s.runs},
        warnings=tuple(warnings(spec)),
    )


def serving(spec: Spec) -> StagePlan:
    """Plan the server alone."""
    moment, ledger = hosting.serve(spec)
    engine, seconds = hosting.engine_of(spec), timing.decoding_seconds(spec)
    name = f"{engine.engine} on {engine.device}"
    decision = f"{name}, keys and values in {spec.quantization.kv_cache} bits"
    return _stage("serve", spec, engine.device, ledger, moment, seconds, (decision,))


def _stage(
    name: str,
    spec: Spec,
    device: str,
    ledger: tuple[Item, ...],
    moment: str = "",
    seconds: tuple[float, float] | None = None,
    decisions: tuple[str, ...] = (),
    constants: Mapping[str, object] | None = None,
) -> StagePlan:
    """Plan a stage on the target, with the target's budget.

    That is the GPU's on a GPU: what runs on its host has none, but for a server whose
    budget is written.
    """
    target = spec.target
    elsewhere = device != target.hardware.kind and not target.hardware.shared
    if name == "serve" and "vram_budget" in spec.written["target"]:
        elsewhere = False
    return StagePlan(
        name,
        device,
        target.hardware.id,
        None if elsewhere else target.vram_budget,
        ledger,
        seconds,
        moment,
        decisions,
        constants or {},
    )


def _plan_data(spec: Spec, stage: Stage) -> StagePlan:
    """Text is read file by file; only a BPE's training counts all of its words."""
    learns = spec.tokenizer.kind == "bpe"
    parses = spec.data.source == "python-docstrings"
    size = (DOCSTRINGS_RUNTIME if parses else DATA_RUNTIME)[spec.tokenizer.kind]
    trained = ", a BPE's training on Python's library" if learns else ""
    runtime = Item("runtime", size, f"Python, numpy{trained}", hosting.MEASURED)
    moment = "more with more text" if learns else "however much text there is"
    return _stage("data", spec, "cpu", arrange([runtime]), moment)


def _plan_training(spec: Spec, stage: Stage) -> StagePlan:
    view = select(spec, stage.fields)
    choice = training.decide(view)
    moment, ledger = training_memory.ledger(view, choice)
    hardware = spec.train.hardware
    return StagePlan(
        stage.name,
        hardware.kind,
        hardware.id,
        training.budget(view),
        ledger,
        timing.training_seconds(view, choice),
        moment,
        tuple(training.sentences(view, choice)),
        {"device": hardware.kind, **vars(choice)},
    )


def _plan_pruning(spec: Spec, stage: Stage) -> StagePlan:
    view = select(spec, stage.fields)
    sequences = pruning.micro_batch(view)
    hardware = spec.train.hardware
    sentence = f"one layer at a time, {sequences} sequences at once"
    return StagePlan(
        stage.name,
        hardware.kind,
        hardware.id,
        training.budget(view),
        pruning.ledger(view, sequences),
        timing.pruning_seconds(view),
        "",
        (sentence,) if spec.sparsity.method == "wanda" else (),
        {"device": hardware.kind, "micro_batch": sequences},
    )


def _plan_export(spec: Spec, stage: Stage) -> StagePlan:
    moment, ledger = hosting.export(spec)
    constants = {
        "storage": STORAGE.get(spec.quantization.weights, "quantized"),
        "accuracy_level": ACCURACY_LEVEL[spec.quantization.arithmetic],
        "checkpoints": checkpoints_of(spec),
    }
    return _stage("export", spec, "cpu", ledger, moment, constants=constants)


def _plan_evaluation(spec: Spec, stage: Stage) -> StagePlan:
    moment, ledger = hosting.evaluate(spec)
    constants = {"checkpoints": checkpoints_of(spec)}
    return _stage("evaluate", spec, "cpu", ledger, moment, constants=constants)


PLANNERS: Mapping[str, Callable[[Spec, Stage], StagePlan]] = {
    "data": _plan_data,
    "train": _plan_training,
    "prune": _plan_pruning,
    "recover": _plan_training,
    "export": _plan_export,
    "evaluate": _plan_evaluation,
    "serve": lambda spec, _: serving(spec),
}
