"""The stages of a model's life: one row each, in the order in which they run."""

from leangen.generator.stages.artifacts import (
    calibration_of,
    exported,
    exported_from,
    pruned_of,
    read_by_evaluation,
    read_by_exemptions,
    read_by_packing,
    read_by_pruning,
    read_by_quantizing,
    read_by_recovery,
    read_by_sensitivity,
    read_by_training,
    splits_of,
    tokens,
    vocabulary,
    written_by_training,
)
from leangen.generator.stages.stage import Stage
from leangen.generator.stages.traits import (
    calibrates,
    calibrates_cache,
    chats,
    computes,
    fits,
    is_here,
    is_new,
    is_sparse,
    lays_out,
    measures_bits,
    measures_in_torch,
    measures_pattern,
    on_grid,
    packs,
    recovers,
    recovers_by_layers,
    shares_steps,
    trains,
    tunes,
)
from leangen.spec import Spec

TARGET = ("target.hardware", "target.vram_budget")
ENGINE = ("serve.engine", "serve.device")
WEIGHTS = (
    "quantization.weights",
    "quantization.exceptions",
    "quantization.group_size",
)
BITS = (*WEIGHTS, "quantization.kv_cache")
MEMORY = ("model", "train.batch_size", "train.precision", "train.hardware") + (
    *TARGET,
    "target.context",
)
SHARES = ("sparsity.pattern", "sparsity.ratio", "sparsity.heads", "sparsity.layers")
PRUNING = (*SHARES, "sparsity.kept", "sparsity.gone", "sparsity.method") + (
    "sparsity.exempt",
    "sparsity.calibration_sequences",
)
LATER = ("sparsity.kept", "sparsity.gone", "sparsity.exempt")  # while it recovers
MADE_OF = {  # what no spec writes: properties, by the fields that they are made of
    "sparsity.kept": ("sparsity.pattern",),
    "sparsity.gone": ("sparsity.pattern", "sparsity.ratio", "sparsity.steps"),
    "tokenizer.kind": ("tokenizer", "tokenizer.bpe"),
    "tokenizer.vocab_size": ("tokenizer", "tokenizer.bpe"),
}
FITTING = (
    *("model", "train.hardware", "train.precision", *TARGET, "target.context"),
    *(*SHARES, "sparsity.method", "sparsity.calibration_sequences"),
    *("quantization.method", "quantization.calibration_sequences"),
)  # stages that fit share a micro-batch
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


STAGES = (
    Stage("artifacts", runs=False),
    Stage("architecture", fields=("model", "tokenizer", "target.context"), runs=False),
    Stage(
        "checkpoint",
        fields=("model",),
        present=is_here,
        runs=False,
        part_of=("export",),
    ),
    Stage(
        "data",
        fields=("tokenizer", "data", "model"),
        costs=("tokenizer.kind", "tokenizer.vocab_size", "data.source", *TARGET),
        writes=lambda spec: (*vocabulary(spec), *tokens(*splits_of(spec))),
        present=is_here,
    ),
    Stage("layout", fields=("model",), present=lays_out, runs=False),
    Stage(
        "progress",
        present=lambda spec: (
            calibrates(spec) or on_grid(spec) or recovers_by_layers(spec)
        ),
        runs=False,
    ),
    Stage("model", fields=("model",), present=computes, runs=False),
    Stage("tensors", fields=("train.hardware",), present=computes, runs=False),
    Stage(
        "fitting",
        fields=("model",),
        present=fits,
        runs=False,
        part_of=("quantize", "prune"),
    ),
    Stage("surgery", present=fits, runs=False, part_of=("quantize", "prune")),
    Stage("training", fields=TRAINING, present=trains, runs=False),
    Stage(
        "train",
        fields=(*MEMORY, "train"),
        costs=(*MEMORY, "train.tokens"),
        reads=read_by_training,
        writes=written_by_training,
        present=lambda spec: is_new(spec) or tunes(spec),
        variant=lambda spec: "tune" if tunes(spec) else "script",
    ),
    Stage(
        "exemptions",
        fields=("model", "sparsity.kept", "sparsity.ratio", "sparsity.method"),
        costs=("model", "evaluate.sensitivity", "sparsity.pattern")
        + ("train.hardware", *TARGET, "target.context"),
        reads=read_by_exemptions,
        writes=lambda spec: ("exemptions.json", "exemptions.md"),
        present=measures_pattern,
    ),
    Stage(
        "prune",
        fields=(*MEMORY, *PRUNING),
        costs=(*FITTING, "sparsity.steps"),
        reads=read_by_pruning,
        writes=lambda spec: (pruned_of(spec),),
        present=is_sparse,
        variant=lambda spec: (
            "structured" if spec.sparsity.shrinks else spec.sparsity.method
        ),
    ),
    Stage(
        "recover",
        fields=(*MEMORY, "train.seed", "sparsity.recover", *LATER),
        costs=(*MEMORY, *SHARES, "sparsity.recover.tokens", "sparsity.recover.distill")
        + ("sparsity.recover.scope",),
        reads=read_by_recovery,
        writes=lambda spec: ("recovered",),
        present=recovers,
        variant=lambda spec: "layers" if recovers_by_layers(spec) else "script",
    ),
    Stage(
        "quantize",
        fields=("quantization.calibration_sequences", "quantization.exceptions"),
        costs=FITTING,
        reads=read_by_quantizing,
        writes=lambda spec: ("quantized",),
        present=on_grid,
    ),
    Stage(
        "graph",
        fields=("model", "target.context", "quantization.kv_cache"),
        present=lambda spec: not packs(spec),
        runs=False,
        part_of=("export",),
    ),
    Stage(
        "rounding",
        fields=WEIGHTS,
        present=lambda spec: spec.quantization.weights < 16,
        runs=False,
        part_of=("export",),
    ),
    Stage(
        "sensitivity",
        fields=("model", "quantization.group_size"),
        costs=("model", "evaluate.sensitivity", "train.hardware", *TARGET)
        + ("target.context",),
        reads=read_by_sensitivity,
        writes=lambda spec: ("sensitivity.json", "sensitivity.md"),
        present=measures_bits,
    ),
    Stage("packing", present=packs, runs=False, part_of=("export",)),
    Stage(
        "export",
        fields=("model", "quantization", "sparsity.exempt"),
        costs=("model", *WEIGHTS, "sparsity.pattern")
        + ("quantization.arithmetic",)
        + (*TARGET, "target.context", *ENGINE),
        reads=lambda spec: (exported_from(spec),),
        writes=lambda spec: ("packed",) if packs(spec) else ("onnx",),
        variant=lambda spec: "packed" if packs(spec) else "script",
    ),
    Stage(
        "export_compressed_tensors",
        fields=("model", "tokenizer", "quantization.exceptions"),
        costs=("model", *WEIGHTS, *TARGET) + ("export.formats",),
        reads=read_by_packing,
        writes=lambda spec: ("compressed-tensors",),
        present=lambda spec: "compressed-tensors" in spec.export.formats,
    ),
    Stage(
        "gguf_file",
        present=lambda spec: "gguf" in spec.export.formats,
        runs=False,
    ),
    Stage(
        "export_gguf",
        fields=("model", "tokenizer", "quantization.weights"),
        costs=("model", "tokenizer.kind", *WEIGHTS, *TARGET, *ENGINE)
        + ("export.formats",),
        reads=lambda spec: (exported_from(spec), *vocabulary(spec)),
        writes=lambda spec: ("gguf",),
        present=lambda spec: "gguf" in spec.export.formats,
    ),
    Stage("kernels", present=packs, runs=False),
    Stage(
        "attention",
        fields=("model", "target.batch", "quantization.kv_cache"),
        present=packs,
        runs=False,
        part_of=("serve",),
    ),
    Stage(
        "products",
        fields=("model", "target.batch"),
        present=packs,
        runs=False,
        part_of=("serve",),
    ),
    Stage(
        "rows", fields=("model",), present=shares_steps, runs=False, part_of=("serve",)
    ),
    Stage(
        "weights",
        fields=("model", "target.batch"),
        present=packs,
        runs=False,
        part_of=("serve",),
    ),
    Stage(
        "decoder",
        fields=("model", "target.context", "target.batch"),
        runs=False,
        part_of=("serve",),
        variant=lambda spec: "torch" if packs(spec) else "script",
    ),
    Stage(
        "calibrate",
        costs=("model", *BITS) + (*TARGET, "target.context", *ENGINE),
        reads=lambda spec: ("onnx", *tokens(calibration_of(spec))),
        writes=lambda spec: ("cache_scales.npz",),
        present=lambda spec: is_here(spec) and calibrates_cache(spec),
    ),
    Stage("vocabulary", fields=("tokenizer",), runs=False),
    Stage(
        "running",
        fields=("target.batch",),
        present=is_here,
        runs=False,
        part_of=("evaluate",),
    ),
    Stage("quality", present=is_here, runs=False),
    Stage(
        "instrument",
        fields=("model",),
        present=is_here,
        runs=False,
        part_of=("evaluate",),
        variant=lambda spec: "torch" if measures_in_torch(spec) else "onnx",
    ),
    Stage(
        "report",
        fields=("gates", "target.context", "target.batch"),
        present=is_here,
        runs=False,
    ),
    Stage(
        "evaluate",
        fields=("gates", "evaluate", "model", "tokenizer", "target.context"),
        costs=("model", "tokenizer", "evaluate.tokens", "train.hardware")
        + ("train.precision", "target.context", "data.out_of_sample", *TARGET)
        + (*BITS, *ENGINE, "sparsity.pattern", "sparsity.exempt", "target.batch"),
        reads=read_by_evaluation,
        writes=lambda spec: ("report.json", "report.md"),
        present=is_here,
    ),
    Stage("generation", runs=False, part_of=("serve",)),
    Stage("chat_template", present=chats, runs=False),
    Stage("conversation", present=chats, runs=False),
    Stage("protocol", runs=False),
    Stage("messages", present=chats, runs=False),
    Stage("batching", present=shares_steps, runs=False),
    Stage("api", runs=False, part_of=("serve",)),
    Stage("listener", runs=False, part_of=("serve",)),
    Stage(
        "serve",
        fields=("tokenizer", "serve"),
        costs=("model", "tokenizer", "sparsity.pattern", *BITS, *ENGINE)
        + ("sparsity.exempt", *TARGET, "target.context", "target.batch"),
        reads=lambda spec: (*exported(spec), *vocabulary(spec)),
        serves=True,
    ),
    Stage("chat", fields=("model",), present=chats, runs=False, by_hand=True),
)


def stages_of(spec: Spec) -> list[Stage]:
    """List the files that a spec has, in the order in which their stages run."""
    return [stage for stage in STAGES if stage.present(spec)]


def makers_of(spec: Spec) -> dict[str, str]:
    """Name the script that makes each file, or folder, right under artifacts/."""
    stages = stages_of(spec)
    return {file.partition("/")[0]: s.script for s in stages for file in s.writes(spec)}
