"""What a schema cannot say: every rule between fields, each a small function."""

from leangen.spec import shape
from leangen.spec.catalogue import catalogue
from leangen.spec.rule import Problem, rule
from leangen.spec.scalars import write_quantity
from leangen.spec.wording import either


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


@rule("train.precision", "train.hardware", "target.hardware")
def bf16_has_units(precision: str, trainer: str | None, target: str) -> Problem | None:
    """Arithmetic in bf16 needs hardware that has it."""
    place = trainer or target
    if precision != "bf16" or catalogue()[place].has_bf16:
        return None
    able = [row.id for row in catalogue().values() if row.has_bf16]
    return Problem(
        "train.precision",
        f"{place} has no bf16 arithmetic",
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


@rule("target.vram_budget", "target.hardware")
def budget_fits_hardware(budget: int | None, hardware: str) -> Problem | None:
    """A budget is a part of the memory that there is."""
    memory = catalogue()[hardware].memory_bytes
    if budget is None or budget <= memory:
        return None
    most = write_quantity("bytes", memory)
    message = f"{write_quantity('bytes', budget)} is more than the memory of {hardware}"
    return Problem("target.vram_budget", message, f"at most {most}", most)


@rule("train.tokens", "train.batch_size", "model.max_position_embeddings")
def training_has_a_batch(tokens: int, batch: int, length: int) -> Problem | None:
    """An optimizer step takes a whole batch."""
    return _a_batch("train.tokens", tokens, batch, length)


@rule("sparsity.recover.tokens", "train.batch_size", "model.max_position_embeddings")
def recovery_has_a_batch(tokens: int | None, batch: int, length: int) -> Problem | None:
    """Recovery takes the batches of training."""
    path = "sparsity.recover.tokens"
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
    training_has_a_batch,
    recovery_has_a_batch,
)
