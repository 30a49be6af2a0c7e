"""What lies under artifacts/, by the spec: the files that each stage reads and writes."""

from leangen.spec import Spec

CHECKPOINTS = ("dense", "sparse", "recovered")
EXPORTED = ("onnx/model.onnx", "onnx/model.onnx.data")


def weights(*checkpoints: str) -> tuple[str, ...]:
    """Name the weights of checkpoints."""
    return tuple(f"{name}/model.safetensors" for name in checkpoints)


def folder(checkpoint: str) -> tuple[str, ...]:
    """Name the files of a checkpoint's folder, which other tools read, too."""
    return f"{checkpoint}/config.json", f"{checkpoint}/model.safetensors"


def tokens(*texts: str) -> tuple[str, ...]:
    """Name the tokens of texts."""
    return tuple(f"data/{text}.npy" for text in texts)


def checkpoints_of(spec: Spec) -> tuple[str, ...]:
    """Name the checkpoints on the way to the exported model, in order."""
    sparse, recover = spec.sparsity.pattern != "dense", spec.sparsity.recover
    there = {"dense": True, "sparse": sparse, "recovered": recover is not None}
    return tuple(name for name in CHECKPOINTS if there[name])


def measured_texts(spec: Spec) -> tuple[str, ...]:
    """Name the texts that nothing is trained on."""
    elsewhere = ("out_of_sample",) if spec.data.out_of_sample else ()
    return "val", "test", *elsewhere


def vocabulary(spec: Spec) -> tuple[str, ...]:
    """Name the tokenizer's file, where it has one."""
    return ("tokenizer.json",) if spec.tokenizer.kind == "bpe" else ()


def graphs(spec: Spec) -> tuple[str, ...]:
    """Name the graph of each checkpoint, which evaluation runs in the engine."""
    return tuple(f"{name}/model.onnx" for name in checkpoints_of(spec))


def read_by_pruning(spec: Spec) -> tuple[str, ...]:
    """Magnitudes are the weights' own; whoever looks at activations needs text."""
    calibrates = spec.sparsity.method != "magnitude"
    return *weights("dense"), *(tokens("train") if calibrates else ())


def read_by_recovery(spec: Spec) -> tuple[str, ...]:
    """A teacher is read where something is distilled from it."""
    recover = spec.sparsity.recover
    teacher = ("dense",) if recover and recover.distill else ()
    return *weights("sparse", *teacher), *tokens("train", "val")


def read_by_export(spec: Spec) -> tuple[str, ...]:
    """Every checkpoint is exported: evaluation compares them in the engine."""
    return tuple(file for name in checkpoints_of(spec) for file in folder(name))


def read_by_evaluation(spec: Spec) -> tuple[str, ...]:
    """Every checkpoint on the way is measured, and the export."""
    models = *EXPORTED, *graphs(spec), *weights(*checkpoints_of(spec))
    return *models, *tokens(*measured_texts(spec)), *vocabulary(spec)
