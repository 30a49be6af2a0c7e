"""What a schema cannot say: every rule between fields, each a small function."""

from collections.abc import Mapping
from typing import Any

from leangen.spec import shape
from leangen.spec.catalogue import CUSTOM, catalogue
from leangen.spec.defaults import engine_row, machine, serving_device
from leangen.spec.engines import Engine, engines
from leangen.spec.rule import Problem, rule
from leangen.spec.scalars import write_quantity
from leangen.spec.wording import either

Section = Mapping[str, Any] | None


@rule("sparsity.pattern", "sparsity.ratio")
def unstructured_has_a_ratio(pattern: str, ratio: float | None) -> Problem | None:
    """Only `unstructured` leaves the share open."""
    if pattern == "unstructured" and ratio is None:
        remedy = "add the share of weights to remove, such as ratio: 0.5"
        return _needs("sparsity.ratio", "pattern: unstructured", remedy)
    if pattern != "unstructured" and ratio is not None:
        remedy = "delete it, or write pattern: unstructured"
        return _idle("sparsity.ratio", f"pattern: {pattern}", remedy)
    return None


@rule("sparsity.pattern", written="sparsity.method")
def dense_has_no_method(pattern: str, method: str | None) -> Problem | None:
    """Nothing is scored where nothing becomes zero."""
    return _only_if_sparse("sparsity.method", pattern, method)


@rule("sparsity.pattern", written="sparsity.recover")
def dense_has_no_recovery(pattern: str, recover: object) -> Problem | None:
    """Nothing is recovered where nothing becomes zero."""
    return _only_if_sparse("sparsity.recover", pattern, recover)


@rule("data.source", "data.path")
def text_has_a_path(source: str, path: list[str] | None) -> Problem | None:
    """Files are named for `text`, and for nothing else."""
    if source == "text" and path is None:
        remedy = "add the files' names, such as path: corpus/*.txt"
        return _needs("data.path", "source: text", remedy)
    if source != "text" and path is not None:
        remedy = "delete it, or write source: text"
        return _idle("data.path", f"source: {source}", remedy)
    return None


@rule("train.precision", "train.hardware", "target.hardware", "custom_hardware")
def bf16_has_units(
    precision: str, trainer: str | None, target: str, section: Section
) -> Problem | None:
    """Arithmetic in bf16 needs hardware that has it."""
    place = machine(trainer or target, section)
    if precision != "bf16" or place is None or place.has_bf16:
        return None
    able = [row.id for row in catalogue().values() if row.has_bf16]
    return Problem(
        "train.precision",
        f"{place.id} has no bf16 arithmetic",
        f"float32, or a train.hardware such as {either(able[::7])}",
        "float32",
    )


@rule("quantization.weights", written="quantization.group_size")
def floats_have_no_groups(bits: int, group: int | None) -> Problem | None:
    """Only integers have scales."""
    return _only_if_integer("quantization.group_size", bits, group)


@rule("quantization.weights", written="quantization.arithmetic")
def floats_have_no_integers(bits: int, arithmetic: str | None) -> Problem | None:
    """Only integers can be multiplied as integers."""
    return _only_if_integer("quantization.arithmetic", bits, arithmetic)


@rule("target.vram_budget", "target.hardware", "custom_hardware")
def budget_fits_hardware(
    budget: int | None, hardware: str, section: Section
) -> Problem | None:
    """A budget is a part of the memory that there is."""
    place = machine(hardware, section)
    if budget is None or place is None or budget <= place.memory_bytes:
        return None
    most = write_quantity("bytes", place.memory_bytes)
    message = f"{write_quantity('bytes', budget)} is more than the memory of {hardware}"
    return Problem("target.vram_budget", message, f"at most {most}", most)


@rule("target.hardware", "train.hardware", "custom_hardware")
def custom_is_described(
    target: str, trainer: str | None, section: Section
) -> Problem | None:
    """The name custom and its section need each other."""
    named = CUSTOM in (target, trainer)
    if named and section is None:
        remedy = "add it: kind, memory, bandwidth_gb_s and float32_tflops"
        return Problem("custom_hardware", "is missing", suggestion=remedy)
    if section is not None and not named:
        remedy = "delete it, or write target.hardware: custom"
        return Problem("custom_hardware", "nothing names it", suggestion=remedy)
    return None


@rule("model.checkpoint", "model.preset")
def one_model(checkpoint: str | None, preset: str | None) -> Problem | None:
    """A model has one origin."""
    if checkpoint is None or preset is None:
        return None
    return Problem(
        "model.preset", "there is a checkpoint, too", suggestion="delete one of them"
    )


@rule("model.checkpoint", written=shape.FIELDS)
def a_checkpoint_has_its_shape(checkpoint: str | None, *own: object) -> Problem | None:
    """config.json says what the model is."""
    names = (name for name, value in zip(shape.FIELDS, own, strict=True) if value)
    name = next(names, None)
    if checkpoint is None or name is None:
        return None
    return _idle(name, "a checkpoint", "delete the shape, or the checkpoint")


@rule("model.preset", written="model.architecture")
def a_preset_has_its_architecture(
    preset: str | None, own: str | None
) -> Problem | None:
    """A preset is of a family already."""
    if preset is None or own is None:
        return None
    return _idle("model.architecture", "a preset", "delete it")


@rule(
    "model.preset",
    "model.pretrained",
    written=(*shape.FIELDS[1:], "tokenizer"),
)
def a_published_model_has_its_shape(
    preset: str | None, given: bool | None, *own: object
) -> Problem | None:
    """What was published is as it is; what is trained here need not be."""
    paths = (*shape.FIELDS[1:], "tokenizer")
    path = next((p for p, value in zip(paths, own, strict=True) if value), None)
    if preset is None or not given or path is None:
        return None
    remedy = "delete it, or add train.tokens to train such a model from scratch"
    return _idle(path, f"the published {preset}", remedy)


@rule("model.checkpoint", written="tokenizer")
def a_checkpoint_has_its_tokenizer(
    checkpoint: str | None, tokenizer: object
) -> Problem | None:
    """A checkpoint's tokens are those that it was trained on."""
    if checkpoint is None or tokenizer is None:
        return None
    return _idle("tokenizer", "a checkpoint, which has its own", "delete it")


@rule("model.checkpoint", written="train.tokens")
def a_checkpoint_is_trained(checkpoint: str | None, tokens: object) -> Problem | None:
    """Nothing is trained from scratch where weights are given."""
    if checkpoint is None or tokens is None:
        return None
    remedy = "delete it; sparsity.recover.tokens trains after pruning"
    return _idle("train.tokens", "a checkpoint", remedy)


SERVING = (
    "serve.engine",
    "serve.device",
    "model.pretrained",
    "target.hardware",
    "custom_hardware",
)


@rule(*SERVING)
def engine_runs_there(*serving: Any) -> Problem | None:
    """An engine needs a device that it supports, and that the hardware has."""
    engine, written, pretrained, hardware, section = serving
    place = machine(hardware, section)
    if place is None:
        return None
    device = serving_device(engine, written, pretrained, place.kind)
    if device == "cuda" and place.kind == "cpu":
        remedy = "write cpu, or name other hardware"
        return Problem("serve.device", f"{hardware} has no GPU", suggestion=remedy)
    if engine_row(engine, device) is None:
        able = [row.engine for row in engines().values() if row.device == device]
        return Problem(
            "serve.engine", f"{engine} does not run on {device}", either(able), able[0]
        )
    return None


@rule("quantization.weights", *SERVING)
def engine_multiplies_bits(bits: int, *serving: Any) -> Problem | None:
    """An engine needs kernels for the bits of the weights."""
    row = _engine(*serving)
    if row is None or bits in row.weights:
        return None
    return _not_of(row, "quantization.weights", f"{bits}-bit weights", row.weights)


@rule("quantization.kv_cache", *SERVING)
def engine_holds_bits(bits: int | None, *serving: Any) -> Problem | None:
    """An engine holds keys and values in the bits that it has kernels for."""
    row = _engine(*serving)
    if row is None or bits is None or bits in row.kv_cache:
        return None
    return _not_of(row, "quantization.kv_cache", f"{bits}-bit cache", row.kv_cache)


def _engine(
    engine: str,
    device: str | None,
    pretrained: bool | None,
    hardware: str,
    section: Section,
) -> Engine | None:
    place = machine(hardware, section)
    kind = place.kind if place else "cpu"
    return engine_row(engine, serving_device(engine, device, pretrained, kind))


def _not_of(row: Engine, field: str, what: str, able: tuple[int, ...]) -> Problem:
    message = f"{row.engine} on {row.device} has no {what}"
    return Problem(field, message, either(list(map(str, able))), str(able[0]))


@rule(
    "train.tokens",
    "train.batch_size",
    "model.max_position_embeddings",
    "model.pretrained",
)
def training_has_a_batch(
    tokens: int, batch: int, length: int, given: bool | None
) -> Problem | None:
    """An optimizer step takes a whole batch."""
    return None if given else _a_batch("train.tokens", tokens, batch, length)


@rule(
    "sparsity.recover.tokens",
    "train.batch_size",
    "model.max_position_embeddings",
    "model.pretrained",
    "target.context",
)
def recovery_has_a_batch(
    tokens: int | None, batch: int, positions: int, given: bool | None, context: int
) -> Problem | None:
    """Recovery takes the batches of training, those of given weights as long as the context."""
    path = "sparsity.recover.tokens"
    length = min(context, 2048) if given else positions
    return None if tokens is None else _a_batch(path, tokens, batch, length)


def _a_batch(field: str, tokens: int, batch: int, length: int) -> Problem | None:
    least = batch * length
    if tokens >= least:
        return None
    message = (
        f"{tokens} tokens are less than one batch, {batch} sequences of {length} tokens"
    )
    return Problem(field, message, f"at least {least}", str(least))


def _only_if_sparse(field: str, pattern: str, value: object) -> Problem | None:
    if pattern != "dense" or value is None:
        return None
    return _idle(field, "pattern: dense", "delete it, or write a pattern such as 2:4")


def _only_if_integer(field: str, bits: int, value: object) -> Problem | None:
    if bits < 16 or value is None:
        return None
    return _idle(field, f"weights: {bits}", "delete it, or write weights: 8")


def _needs(field: str, beside: str, remedy: str) -> Problem:
    name = field.rpartition(".")[2]
    return Problem(field, f"{beside} needs a {name}", suggestion=remedy)


def _idle(field: str, beside: str, remedy: str) -> Problem:
    name = field.rpartition(".")[2]
    return Problem(field, f"{name} does nothing with {beside}", suggestion=remedy)


RULES = (
    *shape.RULES,
    unstructured_has_a_ratio,
    dense_has_no_method,
    dense_has_no_recovery,
    text_has_a_path,
    bf16_has_units,
    floats_have_no_groups,
    floats_have_no_integers,
    budget_fits_hardware,
    custom_is_described,
    one_model,
    a_checkpoint_has_its_shape,
    a_preset_has_its_architecture,
    a_published_model_has_its_shape,
    a_checkpoint_has_its_tokenizer,
    a_checkpoint_is_trained,
    engine_runs_there,
    engine_multiplies_bits,
    engine_holds_bits,
    training_has_a_batch,
    recovery_has_a_batch,
)
