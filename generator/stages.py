"""The stages of a model's life: one row each, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from leangen.generator.artifacts import (
    EXPORTED,
    folder,
    graphs,
    measured_texts,
    read_by_evaluation,
    read_by_export,
    read_by_pruning,
    read_by_recovery,
    tokens,
    vocabulary,
)
from leangen.spec import Spec

Files = Callable[[Spec], tuple[str, ...]]


@dataclass(frozen=True)
class Stage:
    """A generated file of the pipeline: a script, or a module that scripts import.

    fields: the parts of the spec that the file sees; no other edit can touch it.
    costs: those that the stage's bytes and time come from; plan.json lists them.
    reads, writes: files under artifacts/. Both depend on the spec: of what is read, the
    files that an earlier stage writes are the stage's inputs.
    part_of: of a module, the stage whose plan it sees.
    variant: which of the templates in the stage's folder is rendered.
    """

    name: str
    fields: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    reads: Files = lambda spec: ()
    writes: Files = lambda spec: ()
    present: Callable[[Spec], bool] = lambda spec: True
    part_of: str = ""
    variant: Callable[[Spec], str] = lambda spec: "script"
    runs: bool = True  # False: a module
    serves: bool = False  # True: does not end by itself

    @property
    def script(self) -> str:
        """Name of the file that the stage is rendered to."""
        return f"{self.name}.py"


TARGET = ("target.hardware", "target.vram_budget")
ENGINE = ("serve.engine", "serve.device")
BITS = ("quantization.weights", "quantization.group_size", "quantization.kv_cache")
MEMORY = ("model", "train.batch_size", "train.precision", "train.hardware") + (
    *TARGET,
    "target.context",
)
PRUNING = ("sparsity.pattern", "sparsity.kept", "sparsity.ratio", "sparsity.method")
TRAINING = (
    "train.batch_size",
    "train.weight_decay",
    "train.beta1",
    "train.beta2",
    "train.warmup",
    "train.max_grad_norm",
    "train.save_minutes",
    "train.seed",
    "train.precision",
    "train.hardware",
)


def _is_new(spec: Spec) -> bool:
    return not spec.model.pretrained


def _is_sparse(spec: Spec) -> bool:
    return spec.sparsity.pattern != "dense"


def _recovers(spec: Spec) -> bool:
    return spec.sparsity.recover is not None


def _trains(spec: Spec) -> bool:
    return _is_new(spec) or _recovers(spec)


def _computes(spec: Spec) -> bool:
    """Whether any stage needs torch."""
    return _is_new(spec) or _is_sparse(spec)


STAGES = (
    Stage("artifacts", runs=False),
    Stage(
        "data",
        fields=("tokenizer", "data"),
        costs=("tokenizer.kind", "data.source", *TARGET),
        writes=lambda spec: (
            *vocabulary(spec),
            *tokens("train", *measured_texts(spec)),
        ),
        present=_computes,
    ),
    Stage("model", fields=("model", "tokenizer"), present=_computes, runs=False),
    Stage("tensors", fields=("train.hardware",), present=_computes, runs=False),
    Stage("training", fields=TRAINING, present=_trains, runs=False),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        costs=(*MEMORY, "train.tokens"),
        reads=lambda spec: tokens("train", "val"),
        writes=lambda spec: folder("dense"),
        present=_is_new,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        costs=("model", "train.hardware", *TARGET, "target.context")
        + ("sparsity.ratio", "sparsity.method"),
        reads=read_by_pruning,
        writes=lambda spec: folder("sparse"),
        present=_is_sparse,
        variant=lambda spec: spec.sparsity.method,
    ),
    Stage(
        "recover",
        fields=(*MEMORY, "sparsity.recover"),
        costs=(*MEMORY, "sparsity.recover.tokens", "sparsity.recover.distill"),
        reads=read_by_recovery,
        writes=lambda spec: folder("recovered"),
        present=_recovers,
    ),
    Stage("graph", fields=("target.context",), runs=False, part_of="export"),
    Stage(
        "export",
        fields=("quantization",),
        costs=("model", "quantization.weights", "quantization.arithmetic")
        + (*TARGET, *ENGINE),
        reads=read_by_export,
        writes=lambda spec: (*EXPORTED, *graphs(spec)),
    ),
    Stage("decoder", runs=False),
    Stage("vocabulary", fields=("tokenizer",), runs=False),
    Stage("report", fields=("gates",), present=_is_new, runs=False),
    Stage(
        "evaluate",
        fields=("data.out_of_sample", "gates"),
        costs=("model", "tokenizer.kind", "target.context", *TARGET),
        reads=read_by_evaluation,
        writes=lambda spec: ("report.json", "report.md"),
        present=_is_new,
    ),
    Stage("protocol", runs=False),
    Stage("api", runs=False, part_of="serve"),
    Stage("listener", runs=False, part_of="serve"),
    Stage(
        "serve",
        fields=("tokenizer", "serve"),
        costs=("model", "tokenizer.kind", "sparsity.pattern", *BITS, *ENGINE)
        + (*TARGET, "target.context", "target.batch"),
        reads=lambda spec: (*EXPORTED, *vocabulary(spec)),
        serves=True,
    ),
)


def stages_of(spec: Spec) -> list[Stage]:
    """List the files that a spec has, in the order in which their stages run."""
    return [stage for stage in STAGES if stage.present(spec)]


def makers_of(spec: Spec) -> dict[str, str]:
    """Name the script that makes each file under artifacts/."""
    return {file: s.script for s in stages_of(spec) for file in s.writes(spec)}
