"""Memory of a step of training, or of recovery: its ledger at its worst moment.

The coefficients of a CUDA device were fitted to 34 runs of the generated scripts on an
H200 (5 M to 1.1 B parameters, bf16 and float32, with and without checkpointing), those
of a CPU to runs on x86; docs/results.md has both beside their predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from leangen.generator.plan.accounting import count, layer_parameters
from leangen.generator.plan.ledger import Item, arrange, largest
from leangen.spec.defaults import LONGEST
from leangen.spec.spec import Model, Recover

RUNTIME = {"cpu": 315 * 2**20, "cuda": 790 * 2**20}  # Python and torch; CUDA's context
FITTED = "fitted to measured runs (docs/results.md)"
ADAMW = "AdamW in float32: weights, gradients, two moments"


@dataclass(frozen=True)
class Training:
    """Decisions: sequences at once, and whether layers are recomputed for the backward pass."""

    micro_batch: int
    checkpointing: bool


def sequence_length(view: SimpleNamespace) -> int:
    """Tokens in a training sequence; of given weights, those of the context, at most 2,048."""
    positions: int = view.model.max_position_embeddings
    if not view.model.pretrained:
        return positions
    return int(min(positions, view.target.context, LONGEST))


def ledger(view: SimpleNamespace, choice: Training) -> tuple[str, tuple[Item, ...]]:
    """List what a training step holds at its worst moment, and name that moment."""
    if view.train.hardware.kind == "cpu":
        return "end of the forward pass", arrange(_on_cpu(view, choice))
    return largest(
        ("end of the forward pass", _after_forward(view, choice)),
        ("backward pass", _in_backward(view, choice)),
        ("end of the backward pass", _after_backward(view, choice)),
    )


def _tokens(view: SimpleNamespace, choice: Training) -> int:
    return choice.micro_batch * sequence_length(view)


def _accumulates(view: SimpleNamespace, choice: Training) -> bool:
    return bool(view.train.batch_size > choice.micro_batch)


def recovery(view: SimpleNamespace) -> Recover | None:
    """What recover.py sees of sparsity.recover; None in training from scratch."""
    found: Recover | None = getattr(getattr(view, "sparsity", None), "recover", None)
    return found


def runtime(device: str, sizes: Mapping[str, int]) -> Item:
    """Account for what is there before the first tensor."""
    what = {"cpu": "Python, torch", "cuda": "CUDA's context and workspaces"}
    return Item("runtime", sizes[device], what[device], FITTED)


def _state(view: SimpleNamespace) -> list[Item]:
    """What stays from step to step."""
    total = count(view.model).total
    items = [
        Item("master_weights", 4 * total, f"{total:,} x 32 bits", ADAMW),
        Item("optimizer", 8 * total, f"{total:,} x 2 moments x 32 bits", ADAMW),
        runtime(view.train.hardware.kind, RUNTIME),
    ]
    recover = recovery(view)
    if recover:
        matrices = count(view.model).matrices
        mask = f"{matrices:,} x 1 byte: which weights are zero"
        items.append(Item("metadata", matrices, mask, "recover.py"))
    if recover and recover.distill:
        note = f"{total:,} x 32 bits: the dense model"
        items.append(Item("teacher", 4 * total, note, "recover.py"))
    return items


def _layer_bytes(view: SimpleNamespace) -> int:
    """Bytes a token that one layer keeps for its backward pass, on CUDA.

    In bf16: two float32 streams, their normalized copies, query and attention output
    (18 bytes a feature), keys and values (5), three of the feed-forward's width (6).
    """
    model: Model = view.model
    hidden, heads = model.hidden_size, model.num_attention_heads
    shared = model.num_key_value_heads * model.head_dim
    inner = _inner(model)
    if view.train.precision == "bf16":
        return 18 * hidden + 5 * shared + 6 * inner + 4 * heads
    size = 28 * hidden + 8 * shared + 12 * inner + 4 * heads
    if _whole_attention(view):
        size += 4 * heads * sequence_length(view) + 8 * (
            heads * model.head_dim - shared
        )
    return size


def _inner(model: Model) -> int:
    """Width that a token passes through in a feed-forward network, of its experts in all."""
    return max(
        model.intermediate_size if model.num_sparse_layers == 0 else 0,
        model.moe_intermediate_size * model.num_experts_per_tok,
    )


def _whole_attention(view: SimpleNamespace) -> bool:
    """Whether attention keeps its T x T weights: float32 with grouped heads on CUDA.

    No fused kernel of torch 2.11 takes that combination.
    """
    grouped = view.model.num_key_value_heads != view.model.num_attention_heads
    return bool(view.train.precision == "float32" and grouped)


def _kept(view: SimpleNamespace, choice: Training) -> tuple[int, str]:
    """Bytes that the layers keep from the forward pass, and their formula."""
    model, tokens = view.model, _tokens(view, choice)
    layers = model.num_hidden_layers
    if choice.checkpointing:
        each = 4 * model.hidden_size
        size, what = layers * each * tokens, "layers' inputs"
        if _whole_attention(view):
            size += 4 * model.num_attention_heads * sequence_length(view) * tokens
    else:
        each = _layer_bytes(view)
        size, what = layers * each * tokens, "layers"
    formula = f"{layers} {what} x {each:,} bytes x {tokens:,} tokens"
    return size + 2 * model.hidden_size * tokens, formula


def _bf16_copies(view: SimpleNamespace, weights: int) -> Item:
    size = 2 * weights if view.train.precision == "bf16" else 0
    return Item(
        "weights", size, f"{weights:,} x 16 bits: copies to compute with", FITTED
    )


def _after_forward(view: SimpleNamespace, choice: Training) -> list[Item]:
    """All layers are kept and the logits are there; gradients begin with the head's."""
    counts, tokens = count(view.model), _tokens(view, choice)
    head = view.model.vocab_size * view.model.hidden_size
    element = 2 if view.train.precision == "bf16" else 4
    kept, formula = _kept(view, choice)
    weights = head if choice.checkpointing else counts.matrices + head
    recover = recovery(view)
    rows = 2 if recover and recover.distill else 1
    logits = rows * element * view.model.vocab_size * tokens
    old = 4 * counts.total if _accumulates(view, choice) else 0
    return [
        *_state(view),
        _bf16_copies(view, weights),
        Item("activations", kept, formula, FITTED),
        Item(
            "logits",
            logits,
            f"{rows} x {tokens:,} tokens x {view.model.vocab_size:,} x {8 * element} bits",
            FITTED,
        ),
        Item(
            "gradients",
            old + element * head,
            ("accumulated, and " if old else "") + "the head's",
            ADAMW,
        ),
    ]


def _working(view: SimpleNamespace, choice: Training) -> int:
    """Bytes that one layer's backward pass works in."""
    share = 3 if _whole_attention(view) else 2
    return share * _layer_bytes(view) * _tokens(view, choice)


def _in_backward(view: SimpleNamespace, choice: Training) -> list[Item]:
    """The last layer's backward pass: the others' inputs or activations are still kept."""
    if not choice.checkpointing:
        return []  # less than at the end of the forward pass
    counts = count(view.model)
    kept, formula = _kept(view, choice)
    old = 4 * counts.total if _accumulates(view, choice) else 0
    layer = layer_parameters(view.model)
    head = view.model.vocab_size * view.model.hidden_size
    return [
        *_state(view),
        _bf16_copies(view, layer),
        Item(
            "activations",
            kept + _working(view, choice),
            f"{formula}, and one layer's work",
            FITTED,
        ),
        Item(
            "gradients", old + 4 * (head + layer), "float32, as far as they are", ADAMW
        ),
    ]


def _after_backward(view: SimpleNamespace, choice: Training) -> list[Item]:
    """The first layer's backward pass: the graph gives up all gradients at its end."""
    counts = count(view.model)
    old = 4 * counts.total if _accumulates(view, choice) else 0
    new = 4 * (
        counts.total - counts.head
    )  # the embedding's comes last, when all is free
    inputs = 4 * view.model.hidden_size * _tokens(view, choice)
    formula = "all but the embedding's, in float32"
    formula += ", beside the accumulated ones" if old else ""
    return [
        *_state(view),
        _bf16_copies(view, layer_parameters(view.model)),
        Item(
            "activations", inputs + _working(view, choice), "one layer's work", FITTED
        ),
        Item("gradients", old + new, formula, ADAMW),
    ]


def _on_cpu(view: SimpleNamespace, choice: Training) -> list[Item]:
    """Eager float32: each operation keeps its inputs; gradients add up in place.

    1.75 of what autograd keeps, 5 of the layer that is computed again: glibc gives little
    of what was freed back.
    """
    model, tokens = view.model, _tokens(view, choice)
    shared = model.num_key_value_heads * model.head_dim
    each = 16 * _inner(model) + 36 * model.hidden_size + 8 * shared
    layers = model.num_hidden_layers
    size = 7 * layers * each // 4
    formula = f"1.75 x {layers} layers x {each:,} bytes x {tokens:,} tokens"
    if choice.checkpointing:
        inputs = layers * 4 * model.hidden_size
        size = 7 * inputs // 4 + 5 * each
        formula = f"layers' inputs and one layer's work x {tokens:,} tokens"
    recover = recovery(view)
    rows = 6.5 if recover and recover.distill else 4
    total = count(model).total
    return [
        *_state(view),
        Item("activations", size * tokens, formula, FITTED),
        Item(
            "logits",
            int(rows * 4 * model.vocab_size * tokens),
            f"{rows:g} x {tokens:,} tokens x {model.vocab_size:,} x 32 bits",
            FITTED,
        ),
        Item("gradients", 4 * total, f"{total:,} x 32 bits", ADAMW),
    ]
