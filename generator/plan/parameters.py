"""Counting a model's parameters, by what becomes of them."""

from dataclasses import dataclass

from leangen.spec.spec import Model

PUBLISHED = "counted from config.json (tests hold it against published counts)"


@dataclass(frozen=True)
class Counts:
    """Parameters by what becomes of them; a tied head is 0, its matrix the embedding.

    matrices: those of the decoder's layers, which are pruned and quantized; active: of
    these, the ones that a token is multiplied by; small: norms, biases and routers.
    layer, largest: of the largest layer's matrices, and of the largest matrix in a layer.
    """

    matrices: int
    active: int
    embedding: int
    head: int
    small: int
    layer: int
    largest: int

    @property
    def total(self) -> int:
        """All parameters, as Hugging Face counts them."""
        return self.matrices + self.embedding + self.head + self.small

    @property
    def active_total(self) -> int:
        """Parameters without the experts that a token does not visit."""
        return self.total - self.matrices + self.active


def count(model: Model) -> Counts:
    """Count the parameters of a model from its shape."""
    hidden, layers = model.hidden_size, model.num_hidden_layers
    query = model.num_attention_heads * model.head_dim
    shared = model.num_key_value_heads * model.head_dim
    attention = 2 * hidden * (query + shared)
    dense = 3 * hidden * model.intermediate_size
    expert = 3 * hidden * model.moe_intermediate_size
    fixed = layers * attention + (layers - model.num_sparse_layers) * dense
    mixed = model.num_sparse_layers * expert
    routers = model.num_sparse_layers * model.num_experts * hidden
    table = model.vocab_size * hidden
    return Counts(
        matrices=fixed + mixed * model.num_experts,
        active=fixed + mixed * model.num_experts_per_tok,
        embedding=table,
        head=0 if model.tie_word_embeddings else table,
        small=layers * _small(model) + hidden + routers,
        layer=attention + max(_dense_part(model, dense), expert * model.num_experts),
        largest=hidden * max(query, model.intermediate_size),
    )


def _dense_part(model: Model, dense: int) -> int:
    """Give the weights of a dense feed-forward network, 0 where each layer has experts."""
    return dense if model.num_sparse_layers < model.num_hidden_layers else 0


def _small(model: Model) -> int:
    """Count the norms and biases of one layer."""
    query = model.num_attention_heads * model.head_dim
    shared = model.num_key_value_heads * model.head_dim
    parts = (
        (True, 2 * model.hidden_size),
        (model.qk_norm, 2 * model.head_dim),
        (model.qkv_bias, query + 2 * shared),
        (model.output_bias, model.hidden_size),
        (model.mlp_bias, 2 * model.intermediate_size + model.hidden_size),
    )
    return sum(weights for present, weights in parts if present)
