"""What the engine of a GPU (torch) takes: which cards, and which models."""

from collections.abc import Iterator, Mapping
from typing import Any

from leangen.spec.catalogue.hardware import Hardware

WIDEST_HEAD = 256  # which a warp has 8 features a lane for
MOST_SHARE = 8  # heads for which attention.py has room
WIDEST_INNER = 28_672  # inputs that a block of products.py has room for on any such GPU


def rows_at_once(card: Hardware) -> int:
    """Count the tokens for which a step reads the weights once: shared memory decides."""
    return 32 if card.compute_capability in ("9.0", "10.0") else 8


def lacks(card: Hardware, shape: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the engine does not take, behind its field: target.hardware, or model.

    `shape` has the fields of a Model, perhaps without those that have a default.
    """
    if not card.has_bf16:
        yield "target.hardware", "a GPU without bf16"
    if shape.get("num_experts"):
        yield "model", "a mixture of experts"
    # attention.py has biases or norms: a model with both has a bias of o_proj, too.
    if shape.get("output_bias") or shape.get("mlp_bias"):
        yield "model", "a bias of o_proj, or of the feed-forward"
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    heads = shape["num_attention_heads"]
    shared = shape.get("num_key_value_heads") or heads
    width = shape.get("head_dim") or hidden // heads
    if heads > MOST_SHARE * shared:
        yield "model", f"more than {MOST_SHARE} query heads a key head"
    if width > WIDEST_HEAD:
        yield "model", f"heads wider than {WIDEST_HEAD}"
    if hidden % 16 or inner % 16:
        yield "model", "widths that 16 does not divide"
    if max(inner, hidden, heads * width) > WIDEST_INNER:
        yield "model", f"widths above {WIDEST_INNER:,}"
