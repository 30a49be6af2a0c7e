"""Counting a model: its parameters, and the bytes of its weights and of its KV cache."""

from dataclasses import dataclass

from leangen.generator.plan.ledger import Item
from leangen.spec import Engine
from leangen.spec.spec import Model, Quantization

PUBLISHED = "counted from config.json (tests hold it against published counts)"
GROUPS = "GPTQ's and AWQ's layout: a scale, and there a zero point, for each group"
SEMI_STRUCTURED = "PyTorch's semi-structured layout: half the values, 2 bits for each"


@dataclass(frozen=True)
class Counts:
    """Parameters by what becomes of them; a tied head is 0, its matrix the embedding.

    matrices: those of the decoder's layers, which are pruned and quantized; active: of
    these, the ones that a token is multiplied by; small: norms, biases and routers.
    """

    matrices: int
    active: int
    embedding: int
    head: int
    small: int

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
    attention = hidden * (2 * query + 2 * shared)
    dense_layers = layers - model.num_sparse_layers
    experts = model.num_sparse_layers * 3 * hidden * model.moe_intermediate_size
    fixed = layers * attention + dense_layers * 3 * hidden * model.intermediate_size
    biases = model.qkv_bias * (query + 2 * shared) + model.output_bias * hidden
    biases += model.mlp_bias * (2 * model.intermediate_size + hidden)
    norms = 2 * hidden + model.qk_norm * 2 * model.head_dim
    routers = model.num_sparse_layers * model.num_experts * hidden
    table = model.vocab_size * hidden
    return Counts(
        matrices=fixed + experts * model.num_experts,
        active=fixed + experts * model.num_experts_per_tok,
        embedding=table,
        head=0 if model.tie_word_embeddings else table,
        small=layers * (norms + biases) + hidden + routers,
    )


def layer_parameters(model: Model) -> int:
    """Count the weights in the matrices of one decoder layer, the largest there is."""
    width = (model.num_attention_heads + model.num_key_value_heads) * model.head_dim
    dense = model.num_sparse_layers < model.num_hidden_layers
    inner = max(
        dense * model.intermediate_size, model.num_experts * model.moe_intermediate_size
    )
    return model.hidden_size * (2 * width + 3 * inner)


def kv_bits_per_token(model: Model, engine: Engine, bits: int) -> float:
    """Bits of one token's keys and values in all layers, scales of integers included."""
    scale = engine.cache_scale_bits / 32 if bits < 16 else 0
    width = model.num_key_value_heads * model.head_dim
    return 2 * model.num_hidden_layers * width * (bits + scale)


def kv_bytes_per_token(model: Model, engine: Engine, bits: int) -> int:
    """Bytes of one token's keys and values in all layers."""
    return int(kv_bits_per_token(model, engine, bits) / 8)


def kv_cache(model: Model, engine: Engine, bits: int, context: int, batch: int) -> Item:
    """Account for keys and values of the whole context, for each sequence."""
    size = kv_bits_per_token(model, engine, bits) * context * batch / 8
    formula = (
        f"2 x {model.num_hidden_layers} layers x {model.num_key_value_heads} heads x "
        f"{model.head_dim} x {bits} bits x {context:,} tokens"
    )
    if bits < 16 and engine.cache_scale_bits:
        formula += f", and {engine.cache_scale_bits} bits for each 32 values"
    formula += f" x {batch} sequences" if batch > 1 else ""
    return Item("kv_cache", int(size), formula, engine.source)


def stored(
    model: Model,
    engine: Engine,
    quantization: Quantization,
    skips_zeros: bool = False,
    loaded: bool = True,
) -> list[Item]:
    """Account for the weights as an engine holds them, or as their file does.

    skips_zeros: whether the pattern is 2:4 and the engine has a kernel for it.
    """
    counts, bits = count(model), quantization.weights
    wide = 32 if loaded and engine.widens and bits == 16 else bits
    values, what = counts.matrices * wide / 8, f"{counts.matrices:,} x {wide} bits"
    items = []
    if skips_zeros:
        values, what = values / 2, f"half of {what}"
        kept = f"2 bits for each of {counts.matrices // 2:,} kept values"
        items.append(Item("metadata", counts.matrices // 8, kept, SEMI_STRUCTURED))
    if wide != bits:
        what += ": 16-bit floats, widened by the engine"
    items.append(Item("weights", int(values), what, PUBLISHED))
    if bits < 16:
        group = engine.group_size or quantization.group_size
        items.append(_scales(counts, engine, bits, group, loaded))
    items.append(_embeddings(counts, engine, bits, wide, loaded))
    note = f"{counts.small:,} x {engine.norm_bits} bits: norms, biases, routers"
    small = counts.small * engine.norm_bits // 8
    return [*items, Item("norms", small, note, PUBLISHED)]


def _scales(
    counts: Counts, engine: Engine, bits: int, group: int, loaded: bool
) -> Item:
    """Account for what the groups of integers have beside them."""
    weights = counts.matrices
    if engine.head_scales:
        weights += counts.head or counts.embedding
    each = engine.scale_bits + (bits if engine.zeros else 0)
    formula = f"{weights:,} / groups of {group} x {each} bits"
    times = 2 if loaded and engine.repacks else 1
    formula += ", twice: ONNX Runtime packs them again" if times == 2 else ""
    return Item("scales", int(times * weights / group * each / 8), formula, GROUPS)


def _embeddings(
    counts: Counts, engine: Engine, bits: int, wide: int, loaded: bool
) -> Item:
    """Account for the embedding and the head; a tied one is stored once, as the head.

    Quantized apart from the embedding, and in an engine that unties it, it is there twice.
    """
    table, head = engine.embedding.get(bits, bits), engine.head.get(bits, wide)
    apart = (
        counts.head or (bits < 16 and engine.head_scales) or (loaded and engine.unties)
    )
    if apart:
        size = counts.embedding * (table + head) / 8
        formula = f"{counts.embedding:,} x {table:g} bits and x {head:g} bits"
    else:
        size = counts.embedding * max(table, head) / 8
        formula = f"{counts.embedding:,} x {max(table, head):g} bits, tied"
    return Item("embeddings", int(size), formula, PUBLISHED)
