"""Counting a model: its parameters, and the bytes that they and the KV cache take."""

from leangen.spec.spec import Model, Quantization


def layer_parameters(model: Model) -> int:
    """Count the weights in the matrices of one decoder layer."""
    attention = 2 * model.num_attention_heads + 2 * model.num_key_value_heads
    feed_forward = 3 * model.intermediate_size
    return model.hidden_size * (attention * model.head_dim + feed_forward)


def embedding_parameters(model: Model, vocab_size: int) -> int:
    """Count the weights of the embedding, and of the output head where it has its own."""
    copies = 1 if model.tie_word_embeddings else 2
    return copies * vocab_size * model.hidden_size


def norm_parameters(model: Model) -> int:
    """Count the weights of all norms: two a layer, and one at the end."""
    return (2 * model.num_hidden_layers + 1) * model.hidden_size


def parameters(model: Model, vocab_size: int) -> int:
    """Count all weights, as Hugging Face counts them: a tied head once."""
    matrices = model.num_hidden_layers * layer_parameters(model)
    return matrices + embedding_parameters(model, vocab_size) + norm_parameters(model)


def kv_bytes_per_token(model: Model) -> int:
    """Bytes of one token's keys and values, which ONNX Runtime keeps in float32."""
    width = model.num_key_value_heads * model.head_dim
    return 2 * model.num_hidden_layers * width * 4


def exported_bytes(model: Model, vocab_size: int, quantization: Quantization) -> int:
    """Bytes of the exported weights, as templates/export.py.j2 stores them."""
    matrices = model.num_hidden_layers * layer_parameters(model)
    table = vocab_size * model.hidden_size
    norms = 4 * norm_parameters(model)
    bits = quantization.weights
    if bits >= 16:
        embeddings = embedding_parameters(model, vocab_size)
        return (matrices + embeddings) * bits // 8 + norms
    scales = 4 * (matrices + table) // quantization.group_size
    return matrices * bits // 8 + table + 2 * table + scales + norms  # 8-bit head
