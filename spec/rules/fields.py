"""What a schema cannot say: every rule between fields, each a small function."""

from leangen.spec.check.wording import either
from leangen.spec.defaults import HOME, LONGEST, NO_HOME, WHOLE_PATH
from leangen.spec.rules import (
    exceptions,
    exempt,
    formats,
    origin,
    placement,
    quantization,
    recovery,
    remains,
    structure,
    sweep,
    widths,
)
from leangen.spec.rules.rule import Problem, idle, rule

BATCH = ("train.batch_size", "model.max_position_embeddings") + (
    "model.pretrained",
    "target.context",
)
Sizes = tuple[int, bool | None, int]
FILES = {"text": ".txt", "jsonl": ".jsonl"}  # sources that name files, as these end


@rule("sparsity.pattern", "sparsity.ratio")
def unstructured_has_a_ratio(pattern: str, ratio: float | None) -> Problem | None:
    """`unstructured` leaves the share open, and `structured`, with others besides."""
    if pattern == "unstructured" and ratio is None:
        remedy = "add the share of weights to remove, such as ratio: 0.5"
        return _needs("sparsity.ratio", "pattern: unstructured", remedy)
    if pattern not in ("unstructured", "structured") and ratio is not None:
        remedy = "delete it, or write pattern: unstructured or structured"
        return idle("sparsity.ratio", f"pattern: {pattern}", remedy)
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
    """Files are named for `text` and `jsonl`, and for nothing else."""
    ending = FILES.get(source)
    if ending and path is None:
        remedy = f"add the files' names, such as path: corpus/*{ending}"
        return _needs("data.path", f"source: {source}", remedy)
    if not ending and path is not None:
        remedy = f"delete it, or write source: {either(list(FILES))}"
        return idle("data.path", f"source: {source}", remedy)
    return None


@rule("data.source", written="data.field")
def only_json_lines_have_a_field(source: str, field: str | None) -> Problem | None:
    """Plain text has no names in it."""
    if source == "jsonl" or field is None:
        return None
    return idle("data.field", f"source: {source}", "delete it, or write source: jsonl")


@rule("data.path")
def texts_are_at_no_home(globs: list[str] | None) -> Problem | None:
    """A script must mean the same files to everyone who runs it."""
    return _at_home("data.path", globs)


@rule("data.calibration")
def calibration_is_at_no_home(globs: list[str] | None) -> Problem | None:
    """A script must mean the same files to everyone who runs it."""
    return _at_home("data.calibration", globs)


@rule("data.test")
def test_texts_are_at_no_home(globs: list[str] | None) -> Problem | None:
    """A script must mean the same files to everyone who runs it."""
    return _at_home("data.test", globs)


@rule("data.out_of_sample")
def other_texts_are_at_no_home(globs: list[str] | None) -> Problem | None:
    """A script must mean the same files to everyone who runs it."""
    return _at_home("data.out_of_sample", globs)


@rule(
    "sparsity.pattern",
    "sparsity.method",
    "quantization.kv_cache",
    "quantization.method",
    "evaluate.sensitivity",
    written="data.calibration",
)
def only_activations_need_a_text(
    pattern: str,
    method: str,
    cache: int | None,
    rounding: str,
    sensitivity: bool,
    globs: list[str] | None,
) -> Problem | None:
    """Calibration text is what activations are measured on: a layer's, and the cache's."""
    cached = cache is not None and cache < 16
    if rounding == "gptq" or sensitivity or cached:
        return None
    remedy = "delete it, or write sparsity.method: wanda or quantization.method: gptq"
    return _only_if_measured("data.calibration", pattern, method, globs, remedy)


@rule("sparsity.pattern", "sparsity.method", written="sparsity.calibration_sequences")
def only_activations_need_sequences(
    pattern: str, method: str, count: int | None
) -> Problem | None:
    """Calibration sequences are what activations are measured on."""
    field, remedy = (
        "sparsity.calibration_sequences",
        "delete it, or write method: wanda",
    )
    return _only_if_measured(field, pattern, method, count, remedy)


@rule("train.tokens", "model.tuned", *BATCH)
def training_has_a_batch(
    tokens: int,
    tuned: bool | None,
    batch: int,
    positions: int,
    given: bool | None,
    context: int,
) -> Problem | None:
    """An optimizer step takes a whole batch; given weights need not be trained."""
    if given and not tuned:
        return None
    return _a_batch("train.tokens", tokens, batch, positions, given, context)


@rule("sparsity.recover.tokens", recovery.SCOPE, *BATCH)
def recovery_has_a_batch(
    tokens: int | None, scope: str | None, batch: int, *sizes: *Sizes
) -> Problem | None:
    """Recovery takes the batches of training; by layers, a sequence will do."""
    path = "sparsity.recover.tokens"
    batch = 1 if scope == "layers" else batch
    return None if tokens is None else _a_batch(path, tokens, batch, *sizes)


def _a_batch(
    field: str,
    tokens: int,
    batch: int,
    positions: int,
    given: bool | None,
    context: int,
) -> Problem | None:
    """Sequences for given weights are as long as the context."""
    length = min(context, LONGEST) if given else positions
    least = batch * length
    if tokens >= least:
        return None
    message = (
        f"{tokens} tokens are less than one batch, {batch} sequences of {length} tokens"
    )
    return Problem(field, message, f"at least {least}", str(least))


def _at_home(field: str, globs: list[str] | None) -> Problem | None:
    """Find the first glob that starts with ~, which glob takes literally."""
    for number, glob in enumerate(globs or []):
        if glob.startswith(HOME):
            return Problem(f"{field}[{number}]", NO_HOME, suggestion=WHOLE_PATH)
    return None


def _only_if_sparse(field: str, pattern: str, value: object) -> Problem | None:
    if pattern != "dense" or value is None:
        return None
    return idle(field, "pattern: dense", "delete it, or write a pattern such as 2:4")


def _only_if_measured(
    field: str, pattern: str, method: str, value: object, remedy: str
) -> Problem | None:
    if value is None or (pattern != "dense" and method != "magnitude"):
        return None
    beside = "pattern: dense" if pattern == "dense" else f"method: {method}"
    return idle(field, beside, remedy)


def _needs(field: str, beside: str, remedy: str) -> Problem:
    name = field.rpartition(".")[2]
    return Problem(field, f"{beside} needs a {name}", suggestion=remedy)


@rule("ejected")
def ejected_is_said_once(ejected: list[str] | None) -> Problem | None:
    """No file is given away twice."""
    names = ejected or []
    for place, name in enumerate(names):
        if name in names[:place]:
            message = f"{name} is ejected already"
            remedy = "delete one of them"
            return Problem(f"ejected[{place}]", message, suggestion=remedy)
    return None


RULES = (
    *widths.RULES,
    *origin.RULES,
    *placement.RULES,
    *formats.RULES,
    *quantization.RULES,
    *exempt.RULES,
    *exceptions.RULES,
    *structure.RULES,
    *remains.RULES,
    *recovery.RULES,
    *sweep.RULES,
    unstructured_has_a_ratio,
    dense_has_no_method,
    dense_has_no_recovery,
    text_has_a_path,
    only_json_lines_have_a_field,
    texts_are_at_no_home,
    calibration_is_at_no_home,
    test_texts_are_at_no_home,
    other_texts_are_at_no_home,
    only_activations_need_a_text,
    only_activations_need_sequences,
    training_has_a_batch,
    recovery_has_a_batch,
    ejected_is_said_once,
)
