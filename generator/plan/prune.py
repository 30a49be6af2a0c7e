"""Memory of pruning: one layer at a time, with its calibration text."""

from types import SimpleNamespace

from leangen.generator.plan.accounting import PUBLISHED, count, layer_parameters
from leangen.generator.plan.ledger import Item, arrange
from leangen.generator.plan.train import budget
from leangen.generator.plan.train_memory import FITTED, runtime, sequence_length
from leangen.spec.spec import Model

SEQUENCES = 128  # of calibration text, as in Wanda's paper
MICRO_BATCH_TOKENS = {"cpu": 4_096, "cuda": 32_768}
RUNTIME = {"cpu": 285 * 2**20, "cuda": 800 * 2**20}  # Python and torch; CUDA's context
MAGNITUDE_RUNTIME = {**RUNTIME, "cuda": 620 * 2**20}  # no products, no workspaces


def micro_batch(view: SimpleNamespace) -> int:
    """Choose the most calibration sequences at once that help and fit."""
    device = view.train.hardware.kind
    most = max(1, MICRO_BATCH_TOKENS[device] // sequence_length(view))
    sizes = [n for n in (64, 32, 16, 8, 4, 2, 1) if n <= most]
    fits = (n for n in sizes if sum(i.bytes for i in ledger(view, n)) <= budget(view))
    return next(fits, 1)


def ledger(view: SimpleNamespace, sequences: int) -> tuple[Item, ...]:
    """List what prune.py holds: on a GPU one layer alone, on a CPU all of the model."""
    if view.sparsity.method == "magnitude":
        return _magnitude(view)
    device, counts = view.train.hardware.kind, count(view.model)
    held = layer = layer_parameters(view.model)
    note = "a layer"
    items = [runtime(device, RUNTIME)]
    if device == "cpu":
        held = layer + counts.total + counts.matrices
        note = "a layer, the model, and what is pruned already"
        items.append(_calibration(view))
    items.append(Item("weights", 4 * held, f"{held:,} x 32 bits: {note}", PUBLISHED))
    tokens, each = sequences * sequence_length(view), _bytes_a_token(view)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    work = Item("activations", tokens * each, formula, FITTED)
    matrix = _largest_matrix(view)
    score = Item("activations", 16 * matrix, f"{matrix:,} scores x 16 bytes", FITTED)
    return arrange([*items, max(work, score, key=lambda item: item.bytes)])


def _magnitude(view: SimpleNamespace) -> tuple[Item, ...]:
    """List what pruning by size holds: matrix by matrix, and no text."""
    device, matrix = view.train.hardware.kind, _largest_matrix(view)
    held = count(view.model).total if device == "cpu" else matrix
    ranks = Item("activations", 8 * matrix, f"{matrix:,} sizes x 8 bytes", FITTED)
    weights = Item("weights", 4 * held, f"{held:,} x 32 bits", PUBLISHED)
    return arrange([runtime(device, MAGNITUDE_RUNTIME), weights, ranks])


def _calibration(view: SimpleNamespace) -> Item:
    """Account for the hidden states of the calibration text."""
    length, width = sequence_length(view), view.model.hidden_size
    formula = f"{SEQUENCES} x {length} tokens x {width} x 32 bits"
    return Item("calibration", SEQUENCES * length * width * 4, formula, "prune.py")


def _largest_matrix(view: SimpleNamespace) -> int:
    """Weights of the largest matrix in a layer."""
    model = view.model
    widths = (model.num_attention_heads * model.head_dim, model.intermediate_size)
    return int(model.hidden_size * max(widths))


def _bytes_a_token(view: SimpleNamespace) -> int:
    """Bytes that a layer's forward pass in float32 holds for a token at its worst moment.

    On CUDA grouped heads have no fused float32 kernel in torch 2.11: the attention weights
    are there twice.
    """
    model: Model = view.model
    length = sequence_length(view)
    hidden, heads = model.hidden_size, model.num_attention_heads
    shared = model.num_key_value_heads * model.head_dim
    feed_forward = 12 * (hidden + model.intermediate_size)
    if view.train.hardware.kind == "cpu":
        return feed_forward + 4 * model.intermediate_size
    if model.num_key_value_heads != heads:
        return 44 * hidden + 12 * shared + 8 * heads * length
    return max(feed_forward, 32 * hidden)
