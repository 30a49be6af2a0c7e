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
    earlier stage of the same spec writes are its inputs.
    """

    name: str
    fields: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    present: Callable[[Spec], bool] = lambda spec: True
    uses_model: bool = False
    runs: bool = True  # False: a module that other stages import
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
RECOVERY = (
    "train.weight_decay",
    "train.beta1",
    "train.beta2",
    "train.warmup",
    "train.max_grad_norm",
    "train.save_minutes",
    "train.seed",
    "sparsity.recover",
)


def _has_text(spec: Spec) -> bool:
    """A checkpoint that is served as it is needs no text."""
    return not spec.model.pretrained or spec.sparsity.pattern != "dense"


STAGES = (
    Stage(
        "data",
        fields=("tokenizer", "data"),
        writes=("tokenizer.json",)
        + tuple(f"data/{split}.npy" for split in ("train", "val", "test", "ood")),
        present=_has_text,
    ),
    Stage("model", fields=("model", "tokenizer"), runs=False),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        reads=("data/train.npy", "data/val.npy"),
        writes=DENSE,
        present=lambda spec: not spec.model.pretrained,
        uses_model=True,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        reads=(*DENSE, "data/train.npy"),
        writes=SPARSE,
        present=lambda spec: spec.sparsity.pattern != "dense",
        uses_model=True,
    ),
    Stage(
        "recover",
        fields=(*MEMORY, *RECOVERY),
        reads=(*SPARSE, *DENSE, "data/train.npy", "data/val.npy"),
        writes=RECOVERED,
        present=lambda spec: spec.sparsity.recover is not None,
        uses_model=True,
    ),
    Stage(
        "export",
        fields=("quantization", "target.context"),
        reads=(*DENSE, *SPARSE, *RECOVERED),
        writes=(*EXPORTED, *GRAPHS),
    ),
    Stage(
        "evaluate",
        fields=("target.context", "data.out_of_sample", "gates"),
        reads=(*EXPORTED, *GRAPHS, *DENSE, *SPARSE, *RECOVERED)
        + ("data/val.npy", "data/test.npy", "data/ood.npy"),
        writes=("report.json", "report.md"),
        present=lambda spec: not spec.model.pretrained,
    ),
    Stage(
        "serve",
        fields=("tokenizer", "target.context", "serve"),
        reads=(*EXPORTED, "tokenizer.json"),
        serves=True,
    ),
)


def stages_of(spec: Spec) -> list[Stage]:
    """List the stages that a spec has, in the order in which they run."""
    return [stage for stage in STAGES if stage.present(spec)]


def checkpoints_of(spec: Spec) -> dict[str, str]:
    """Name the checkpoints on the way to the exported model, and what writes them."""
    writers = {file: s.script for s in stages_of(spec) for file in s.writes}
    folders = ("dense", "sparse", "recovered")
    files = {folder: _checkpoint(folder)[0] for folder in folders}
    return {folder: writers[file] for folder, file in files.items() if file in writers}


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
