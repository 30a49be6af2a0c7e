"""The tensors of a model, by the names that transformers gives to them."""

from collections.abc import Iterator

from leangen.spec.spec import Model

Tensors = Iterator[tuple[str, tuple[int, ...]]]


def tensors_of(model: Model) -> Tensors:
    """Yield each tensor's name and shape, as the generated architecture.py has them."""
    yield "model.embed_tokens.weight", (model.vocab_size, model.hidden_size)
    yield "model.norm.weight", (model.hidden_size,)
    if not model.tie_word_embeddings:
        yield "lm_head.weight", (model.vocab_size, model.hidden_size)
    for i in range(model.num_hidden_layers):
        for part in (_attention, _experts if model.num_experts else _dense):
            for name, shape in part(model):
                yield f"model.layers.{i}.{name}", shape


def _attention(model: Model) -> Tensors:
    """Yield the norms of a layer, and its attention."""
    hidden = model.hidden_size
    query = model.num_attention_heads * model.head_dim
    shared = model.num_key_value_heads * model.head_dim
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)
    for name, rows in (("q", query), ("k", shared), ("v", shared)):
        yield f"self_attn.{name}_proj.weight", (rows, hidden)
        if model.qkv_bias:
            yield f"self_attn.{name}_proj.bias", (rows,)
        if model.qk_norm and name != "v":
            yield f"self_attn.{name}_norm.weight", (model.head_dim,)
    yield "self_attn.o_proj.weight", (hidden, query)
    if model.output_bias:
        yield "self_attn.o_proj.bias", (hidden,)


def _dense(model: Model) -> Tensors:
    """Yield a feed-forward network."""
    hidden, inner = model.hidden_size, model.intermediate_size
    for name, shape in (
        ("gate_proj", (inner, hidden)),
        ("up_proj", (inner, hidden)),
        ("down_proj", (hidden, inner)),
    ):
        yield f"mlp.{name}.weight", shape
        if model.mlp_bias:
            yield f"mlp.{name}.bias", shape[:1]


def _experts(model: Model) -> Tensors:
    """Yield a router and its experts."""
    hidden, inner = model.hidden_size, model.moe_intermediate_size
    yield f"{model.feed_forward}.gate.weight", (model.num_experts, hidden)
    for i in range(model.num_experts):
        expert = f"{model.feed_forward}.experts.{i}"
        yield f"{expert}.{model.gate}.weight", (inner, hidden)
        yield f"{expert}.{model.up}.weight", (inner, hidden)
        yield f"{expert}.{model.down}.weight", (hidden, inner)
