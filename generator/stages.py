"""The stages of a model's life: one row each, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from leangen.spec import Spec


@dataclass(frozen=True)
class Stage:
    """A generated file of the pipeline.

    fields: the parts of the spec that the stage sees; no other edit can touch it.
    reads, writes: files under artifacts/; of those that it reads, the ones that an
    earlier stage of the same spec writes are its inputs. variant: which of the templates
    in the stage's folder is rendered.
    """

    name: str
    fields: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    present: Callable[[Spec], bool] = lambda spec: True
    variant: Callable[[Spec], str] = lambda spec: "script"
    runs: bool = True  # False: a module that stages import
    serves: bool = False  # True: does not end by itself

    @property
    def script(self) -> str:
        """Name of the file that the stage is rendered to."""
        return f"{self.name}.py"


def _checkpoint(name: str) -> tuple[str, str]:
    return f"{name}/config.json", f"{name}/model.safetensors"


DENSE, SPARSE, RECOVERED = map(_checkpoint, ("dense", "sparse", "recovered"))
GRAPHS = ("dense/model.onnx", "sparse/model.onnx", "recovered/model.onnx")
EXPORTED = ("onnx/model.onnx", "onnx/model.onnx.data")
MEMORY = (
    "model",
    "train.batch_size",
    "train.precision",
    "train.hardware",
    "target.hardware",
    "target.vram_budget",
    "target.context",
)
PRUNING = ("sparsity.pattern", "sparsity.kept", "sparsity.ratio", "sparsity.method")
RECOVERY = ("train.weight_decay", "train.seed", "sparsity.recover")


def _trains(spec: Spec) -> bool:
    """Whether weights move: from scratch, or after pruning."""
    return not spec.model.pretrained or spec.sparsity.recover is not None


def _computes(spec: Spec) -> bool:
    """Whether a stage needs torch."""
    return _trains(spec) or spec.sparsity.pattern != "dense"


def _has_text(spec: Spec) -> bool:
    """A checkpoint that is served as it is needs no text."""
    return not spec.model.pretrained or spec.sparsity.pattern != "dense"


STAGES = (
    Stage("artifacts", fields=(), runs=False),
    Stage(
        "data",
        fields=("tokenizer", "data"),
        writes=("tokenizer.json",)
        + tuple(f"data/{split}.npy" for split in ("train", "val", "test", "out_of_sample")),
        present=_has_text,
    ),
    Stage("model", fields=("model", "tokenizer"), present=_computes, runs=False),
    Stage("tensors", fields=("train.hardware",), present=_computes, runs=False),
    Stage(
        "training",
        fields=(
            "train.batch_size",
            "train.weight_decay",
            "train.seed",
            "train.precision",
            "train.hardware",
        ),
        present=_trains,
        runs=False,
    ),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        reads=("data/train.npy", "data/val.npy"),
        writes=DENSE,
        present=lambda spec: not spec.model.pretrained,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        reads=(*DENSE, "data/train.npy"),
        writes=SPARSE,
        present=lambda spec: spec.sparsity.pattern != "dense",
        variant=lambda spec: spec.sparsity.method,
    ),
    Stage(
        "recover",
        fields=(*MEMORY, *RECOVERY),
        reads=(*SPARSE, *DENSE, "data/train.npy", "data/val.npy"),
        writes=RECOVERED,
        present=lambda spec: spec.sparsity.recover is not None,
    ),
    Stage(
        "export",
        fields=("quantization", "target.context"),
        reads=(*DENSE, *SPARSE, *RECOVERED),
        writes=(*EXPORTED, *GRAPHS),
    ),
    Stage("decoder", fields=(), runs=False),
    Stage("vocabulary", fields=("tokenizer",), runs=False),
    Stage(
        "evaluate",
        fields=("data.out_of_sample", "gates"),
        reads=(*EXPORTED, *GRAPHS, *DENSE, *SPARSE, *RECOVERED)
        + ("data/val.npy", "data/test.npy", "data/out_of_sample.npy"),
        writes=("report.json", "report.md"),
        present=lambda spec: not spec.model.pretrained,
    ),
    Stage("api", fields=(), runs=False),
    Stage(
        "serve",
        fields=("tokenizer", "serve"),
        reads=(*EXPORTED, "tokenizer.json"),
        serves=True,
    ),
)


def stages_of(spec: Spec) -> list[Stage]:
    """List the stages that a spec has, in the order in which they run."""
    return [stage for stage in STAGES if stage.present(spec)]


def makers_of(spec: Spec) -> dict[str, str]:
    """Name the script that makes each file under artifacts/."""
    return {file: s.script for s in stages_of(spec) for file in s.made_in(spec)}


def checkpoints_of(spec: Spec) -> tuple[str, ...]:
    """Name the checkpoints on the way to the exported model, in order."""
    made = makers_of(spec)
    folders = ("dense", "sparse", "recovered")
    return tuple(folder for folder in folders if f"{folder}/config.json" in made)


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
