"""Memory of pruning: one layer at a time, with its calibration text."""

from types import SimpleNamespace

from leangen.generator.accounting import PUBLISHED, count, layer_parameters
from leangen.generator.ledger import Item, arrange
from leangen.generator.training import sequence_length
from leangen.spec.spec import Model

SEQUENCES = 128  # of calibration text, as in Wanda's paper
MICRO_BATCH_TOKENS = {"cpu": 4_096, "cuda": 32_768}
RUNTIME = {"cpu": 275 * 2**20, "cuda": 800 * 2**20}  # Python and torch; CUDA's context
FITTED = "fitted to measured runs (docs/results.md)"


def micro_batch(view: SimpleNamespace) -> int:
    """Choose the most calibration sequences at once that help and fit."""
    device = view.train.hardware.kind
    most = max(1, MICRO_BATCH_TOKENS[device] // sequence_length(view))
    budget = view.train.hardware.usable_bytes
    if view.train.hardware == view.target.hardware:
        budget = view.target.vram_budget
    sizes = [n for n in (64, 32, 16, 8, 4, 2, 1) if n <= most]
    fits = (n for n in sizes if sum(i.bytes for i in ledger(view, n)) <= budget)
    return next(fits, 1)


def ledger(view: SimpleNamespace, sequences: int) -> tuple[Item, ...]:
    """List what prune.py holds: on a GPU one layer alone, on a CPU all of the model."""
    device = view.train.hardware.kind
    counts, layer = count(view.model), layer_parameters(view.model)
    matrix = _largest_matrix(view)
    runtime = Item("runtime", RUNTIME[device], "Python, torch", FITTED)
    score = Item("activations", 16 * matrix, "scores and ranks of a matrix", FITTED)
    items = [runtime]
    if device == "cpu":
        note = f"{counts.total:,} x 32 bits"
        items.append(Item("weights", 4 * counts.total, note, PUBLISHED))
    if view.sparsity.method == "magnitude":
        return arrange([*items, score])
    copies = layer + (counts.matrices if device == "cpu" else 0)
    note = f"{copies:,} x 32 bits: a layer"
    note += ", and what is pruned already" if device == "cpu" else ""
    items.append(Item("master_weights", 4 * copies, note, PUBLISHED))
    tokens = sequences * sequence_length(view)
    each = _bytes_a_token(view)
    work = Item(
        "activations", tokens * each, f"{tokens:,} tokens x {each:,} bytes", FITTED
    )
    items.append(max(work, score, key=lambda item: item.bytes))
    if device == "cpu":
        width = view.model.hidden_size
        text = SEQUENCES * sequence_length(view) * width * 4
        formula = f"{SEQUENCES} x {sequence_length(view)} tokens x {width} x 32 bits"
        items.append(Item("calibration", text, formula, "prune.py"))
    return arrange(items)


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
