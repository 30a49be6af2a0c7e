"""The stages of a model's life: one row each, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from leangen.spec import Spec


@dataclass(frozen=True)
class Stage:
    """A generated file of the pipeline.

    fields: the parts of the spec that the script sees; no other edit can touch it.
    costs: those that its bytes and its time come from; plan.json lists them.
    reads, writes: files under artifacts/; of those that it reads, the ones that an
    earlier stage of the same spec writes are its inputs.
    """

    name: str
    fields: tuple[str, ...]
    costs: tuple[str, ...] = ()
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
TARGET = ("target.hardware", "target.vram_budget")
ENGINE = ("serve.engine", "serve.device")
BITS = ("quantization.weights", "quantization.group_size", "quantization.kv_cache")
MEMORY = ("model", "train.batch_size", "train.precision", "train.hardware") + (
    *TARGET,
    "target.context",
)
PRUNING = ("sparsity.pattern", "sparsity.kept", "sparsity.ratio", "sparsity.method")
RECOVERY = ("train.weight_decay", "train.seed", "sparsity.recover")


def _has_text(spec: Spec) -> bool:
    """A checkpoint that is served as it is needs no text."""
    return not spec.model.pretrained or spec.sparsity.pattern != "dense"


STAGES = (
    Stage(
        "data",
        fields=("tokenizer", "data"),
        costs=("tokenizer.kind", *TARGET),
        writes=("tokenizer.json",)
        + tuple(f"data/{split}.npy" for split in ("train", "val", "test", "ood")),
        present=_has_text,
    ),
    Stage("model", fields=("model", "tokenizer"), runs=False),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        costs=(*MEMORY, "train.tokens"),
        reads=("data/train.npy", "data/val.npy"),
        writes=DENSE,
        present=lambda spec: not spec.model.pretrained,
        uses_model=True,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        costs=("model", "train.hardware", *TARGET, "target.context")
        + ("sparsity.ratio", "sparsity.method"),
        reads=(*DENSE, "data/train.npy"),
        writes=SPARSE,
        present=lambda spec: spec.sparsity.pattern != "dense",
        uses_model=True,
    ),
    Stage(
        "recover",
        fields=(*MEMORY, *RECOVERY),
        costs=(*MEMORY, "sparsity.recover.tokens", "sparsity.recover.distill"),
        reads=(*SPARSE, *DENSE, "data/train.npy", "data/val.npy"),
        writes=RECOVERED,
        present=lambda spec: spec.sparsity.recover is not None,
        uses_model=True,
    ),
    Stage(
        "export",
        fields=("quantization", "target.context"),
        costs=("model", "quantization.weights", "quantization.arithmetic", *TARGET),
        reads=(*DENSE, *SPARSE, *RECOVERED),
        writes=(*EXPORTED, *GRAPHS),
    ),
    Stage(
        "evaluate",
        fields=("target.context", "data.out_of_sample", "gates"),
        costs=("model", "target.context", *TARGET),
        reads=(*EXPORTED, *GRAPHS, *DENSE, *SPARSE, *RECOVERED)
        + ("data/val.npy", "data/test.npy", "data/ood.npy"),
        writes=("report.json", "report.md"),
        present=lambda spec: not spec.model.pretrained,
    ),
    Stage(
        "serve",
        fields=("tokenizer", "target.context", "serve"),
        costs=("model", "tokenizer.kind", "sparsity.pattern", *BITS, *ENGINE)
        + (*TARGET, "target.context", "target.batch"),
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
