"""The stages of a model's life: one row each, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

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


CHECKPOINTS = ("dense", "sparse", "recovered")


def _tokens(*texts: str) -> tuple[str, ...]:
    return tuple(f"data/{text}.npy" for text in texts)


TARGET = ("target.hardware", "target.vram_budget")
ENGINE = ("serve.engine", "serve.device")
BITS = ("quantization.weights", "quantization.group_size", "quantization.kv_cache")
MEMORY = ("model", "train.batch_size", "train.precision", "train.hardware") + (
    *TARGET,
    "target.context",
)
PRUNING = ("sparsity.pattern", "sparsity.kept", "sparsity.ratio", "sparsity.method") + (
    "sparsity.calibration_sequences",
)
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


def checkpoints_of(spec: Spec) -> tuple[str, ...]:
    """Name the checkpoints on the way to the exported model, in order."""
    sparse, recover = spec.sparsity.pattern != "dense", spec.sparsity.recover
    there = {"dense": True, "sparse": sparse, "recovered": recover is not None}
    return tuple(name for name in CHECKPOINTS if there[name])


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


def _reads_text(spec: Spec) -> bool:
    """Whether there is text to read: a published model without its weights has none."""
    return _computes(spec) or spec.model.checkpoint is not None


def _is_here(spec: Spec) -> bool:
    """Whether there are weights to measure."""
    return _is_new(spec) or spec.model.checkpoint is not None


def _calibrates(spec: Spec) -> bool:
    """Whether pruning looks at activations; magnitudes are the weights' own."""
    return _is_sparse(spec) and spec.sparsity.method != "magnitude"


def calibration_of(spec: Spec) -> str:
    """Name the text that pruning measures activations on."""
    return "calibration" if spec.data.calibration else "train"


def texts_of(spec: Spec) -> tuple[str, ...]:
    """Name the texts that the model is measured on."""
    home = ("test",) if spec.model.pretrained else ("val", "test")
    return (*home, "out_of_sample") if spec.data.out_of_sample else home


def splits_of(spec: Spec) -> tuple[str, ...]:
    """Name the texts that data.py writes the tokens of."""
    found = ["train", "val"] if _trains(spec) else []
    found += [calibration_of(spec)] if _calibrates(spec) else []
    return tuple(dict.fromkeys((*found, *texts_of(spec))))


def _vocabulary(spec: Spec) -> tuple[str, ...]:
    return ("tokenizer.json",) if spec.tokenizer.kind != "bytes" else ()


def _read_by_pruning(spec: Spec) -> tuple[str, ...]:
    return "dense", *(_tokens(calibration_of(spec)) if _calibrates(spec) else ())


def _read_by_recovery(spec: Spec) -> tuple[str, ...]:
    recover = spec.sparsity.recover
    teacher = ("dense",) if recover and recover.distill else ()
    return "sparse", *teacher, *_tokens("train", "val")


def _read_by_evaluation(spec: Spec) -> tuple[str, ...]:
    models = "onnx", *checkpoints_of(spec)
    return *models, *_tokens(*texts_of(spec)), *_vocabulary(spec)


STAGES = (
    Stage("artifacts", runs=False),
    Stage("architecture", fields=("model", "tokenizer"), runs=False),
    Stage("checkpoint", fields=("model",), present=_is_here, runs=False),
    Stage(
        "data",
        fields=("tokenizer", "data", "model"),
        costs=("tokenizer.kind", "data.source", *TARGET),
        writes=lambda spec: (*_vocabulary(spec), *_tokens(*splits_of(spec))),
        present=_reads_text,
    ),
    Stage("model", fields=("model",), present=_computes, runs=False),
    Stage("tensors", fields=("train.hardware",), present=_computes, runs=False),
    Stage("training", fields=TRAINING, present=_trains, runs=False),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        costs=(*MEMORY, "train.tokens"),
        reads=lambda spec: _tokens("train", "val"),
        writes=lambda spec: ("dense",),
        present=_is_new,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        costs=("model", "train.hardware", "train.precision", *TARGET, "target.context")
        + ("sparsity.ratio", "sparsity.method", "sparsity.calibration_sequences"),
        reads=_read_by_pruning,
        writes=lambda spec: ("sparse",),
        present=_is_sparse,
        variant=lambda spec: spec.sparsity.method,
    ),
    Stage(
        "recover",
        fields=(*MEMORY, "sparsity.recover"),
        costs=(*MEMORY, "sparsity.recover.tokens", "sparsity.recover.distill"),
        reads=_read_by_recovery,
        writes=lambda spec: ("recovered",),
        present=_recovers,
    ),
    Stage(
        "graph", fields=("model", "target.context"), runs=False, part_of="export"
    ),
    Stage(
        "export",
        fields=("model", "quantization"),
        costs=("model", "quantization.weights", "quantization.arithmetic")
        + (*TARGET, *ENGINE),
        reads=lambda spec: checkpoints_of(spec)[-1:],
        writes=lambda spec: ("onnx",),
    ),
    Stage("decoder", runs=False),
    Stage("vocabulary", fields=("tokenizer",), runs=False),
    Stage("quality", present=_is_here, runs=False),
    Stage("report", fields=("gates",), present=_is_here, runs=False),
    Stage(
        "evaluate",
        fields=("gates", "evaluate", "model", "tokenizer", "target.context"),
        costs=("model", "tokenizer.kind", "target.context", *TARGET),
        reads=_read_by_evaluation,
        writes=lambda spec: ("report.json", "report.md"),
        present=_is_here,
    ),
    Stage("protocol", runs=False),
    Stage("api", runs=False, part_of="serve"),
    Stage("listener", runs=False, part_of="serve"),
    Stage(
        "serve",
        fields=("tokenizer", "serve"),
        costs=("model", "tokenizer.kind", "sparsity.pattern", *BITS, *ENGINE)
        + (*TARGET, "target.context", "target.batch"),
        reads=lambda spec: ("onnx", *_vocabulary(spec)),
        serves=True,
    ),
)


def stages_of(spec: Spec) -> list[Stage]:
    """List the files that a spec has, in the order in which their stages run."""
    return [stage for stage in STAGES if stage.present(spec)]


def makers_of(spec: Spec) -> dict[str, str]:
    """Name the script that makes each file, or folder, right under artifacts/."""
    stages = stages_of(spec)
    return {file.partition("/")[0]: s.script for s in stages for file in s.writes(spec)}


def select(spec: Spec, paths: tuple[str, ...]) -> SimpleNamespace:
    """Copy the named parts of a spec, and its name, and nothing else of it."""
    chosen = SimpleNamespace(name=spec.name)
    for path in paths:
        source: object = spec
        view = chosen
        *sections, leaf = path.split(".")
        for section in sections:
            source = getattr(source, section)
            if not hasattr(view, section):
                setattr(view, section, SimpleNamespace())
            view = getattr(view, section)
        setattr(view, leaf, getattr(source, leaf))
    return chosen
