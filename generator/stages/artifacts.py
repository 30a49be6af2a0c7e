"""What lies under artifacts/, by the spec: the files that each stage reads and writes."""

from itertools import compress

from leangen.generator.stages.traits import (
    calibrates,
    calibrates_cache,
    is_new,
    is_sparse,
    measures_bits,
    measures_in_torch,
    measures_pattern,
    on_grid,
    packs,
    reads_calibration,
    recovers,
    rewind_of,
    rounds_cache,
    trains,
    tunes,
)
from leangen.spec import Spec


def pruned_of(spec: Spec) -> str:
    """Name the checkpoint that pruning writes: with zeros, or a smaller one."""
    return "pruned" if spec.sparsity.shrinks else "sparse"


def calibrated(spec: Spec) -> str:
    """Say what the calibration text was for."""
    done = ("pruned", "quantized", "cache scaled")
    there = calibrates(spec), on_grid(spec), calibrates_cache(spec)
    *others, last = compress(done, there)
    before = f"{', '.join(others)} and " if others else ""
    return f"{before}{last}".capitalize()


def tokens(*texts: str) -> tuple[str, ...]:
    """Name the tokens of texts."""
    return tuple(f"data/{text}.npy" for text in texts)


def vocabulary(spec: Spec) -> tuple[str, ...]:
    """Name the tokenizer's file, where it has one."""
    return ("tokenizer.json",) if spec.tokenizer.kind != "bytes" else ()


def checkpoints_of(spec: Spec) -> tuple[str, ...]:
    """Name the checkpoints on the way to the exported model, in order."""
    names = ("dense", "tuned", pruned_of(spec), "recovered")
    there = (True, tunes(spec), is_sparse(spec), recovers(spec))
    return tuple(compress(names, there))


def exported_from(spec: Spec) -> str:
    """Name the checkpoint that exporters read: the last one, or what is on the grid."""
    return "quantized" if on_grid(spec) else checkpoints_of(spec)[-1]


def aim_of(spec: Spec) -> str:
    """Name the checkpoint whose results one that is put on a grid aims at.

    The whole model's, but where another has been trained since, or is smaller.
    """
    own = recovers(spec) or spec.sparsity.shrinks
    return checkpoints_of(spec)[-1] if own else whole_of(spec)


def whole_of(spec: Spec) -> str:
    """Name the checkpoint before anything is pruned: what teaches a recovery, too."""
    return "tuned" if tunes(spec) else "dense"


def calibration_of(spec: Spec) -> str:
    """Name the text that activations are measured on."""
    return "calibration" if spec.data.calibration else "train"


def measured_texts(spec: Spec) -> tuple[str, ...]:
    """Name the texts that nothing is trained on: the model is measured on them."""
    home = ("test",) if spec.model.pretrained else ("val", "test")
    return (*home, "out_of_sample") if spec.data.out_of_sample else home


def splits_of(spec: Spec) -> tuple[str, ...]:
    """Name the texts that data.py writes the tokens of."""
    found = ["train", "val"] if trains(spec) or recovers(spec) else []
    felt = measures_bits(spec) or measures_pattern(spec)
    found += [calibration_of(spec)] if reads_calibration(spec) or felt else []
    return tuple(dict.fromkeys((*found, *measured_texts(spec))))


def read_by_training(spec: Spec) -> tuple[str, ...]:
    """Given weights are where a fine-tuning starts."""
    return *(("dense",) if tunes(spec) else ()), *tokens("train", "val")


def written_by_training(spec: Spec) -> tuple[str, ...]:
    """The whole model, and what it was early where recovery begins with that."""
    return whole_of(spec), *(("early",) if rewind_of(spec) else ())


def read_by_pruning(spec: Spec) -> tuple[str, ...]:
    """Whoever looks at activations needs text."""
    return whole_of(spec), *(tokens(calibration_of(spec)) if calibrates(spec) else ())


def read_by_recovery(spec: Spec) -> tuple[str, ...]:
    """A teacher is read where something is distilled from it, or a layer does what its does."""
    recover = spec.sparsity.recover
    taught = recover and (recover.distill or recover.by_layers)
    teacher = (whole_of(spec),) if taught else ()
    early = ("early",) if rewind_of(spec) else ()
    return pruned_of(spec), *early, *teacher, *tokens("train", "val")


def read_by_quantizing(spec: Spec) -> tuple[str, ...]:
    """What is put on a grid, what it aims at, and the text that it is measured on."""
    models = dict.fromkeys((checkpoints_of(spec)[-1], aim_of(spec)))
    return *models, *tokens(calibration_of(spec))


def read_by_exemptions(spec: Spec) -> tuple[str, ...]:
    """The model that is to be pruned reads calibration text."""
    return whole_of(spec), *tokens(calibration_of(spec))


def read_by_sensitivity(spec: Spec) -> tuple[str, ...]:
    """The model is rounded as it is exported, and reads calibration text."""
    return *checkpoints_of(spec)[-1:], *tokens(calibration_of(spec))


def read_by_packing(spec: Spec) -> tuple[str, ...]:
    """A given checkpoint has its tokenizer in its folder; a new one gets it there."""
    tokenizer = vocabulary(spec) if is_new(spec) else ()
    return exported_from(spec), *tokenizer


def measured_of(spec: Spec) -> tuple[str, ...]:
    """Name the models that are measured: a rounded cache beside one of floats."""
    beside = ("float_cache",) if rounds_cache(spec) else ()
    return *checkpoints_of(spec), *beside, "exported"


def exported(spec: Spec) -> tuple[str, ...]:
    """Name what the engine loads."""
    if packs(spec):
        return ("packed",)
    return ("onnx", "cache_scales.npz") if calibrates_cache(spec) else ("onnx",)


def read_by_evaluation(spec: Spec) -> tuple[str, ...]:
    """Every checkpoint on the way is measured, and the export; what they saw is named."""
    models = *exported(spec), *checkpoints_of(spec)
    if measures_in_torch(spec) and on_grid(spec):
        models = *models, exported_from(spec)
    seen = (calibration_of(spec),) if reads_calibration(spec) else ()
    texts = dict.fromkeys((*measured_texts(spec), *seen))
    return *models, *tokens(*texts), *vocabulary(spec)
