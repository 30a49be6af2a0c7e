"""Bytes of a model's weights as they are stored and as they are loaded, and of its KV cache."""

from collections.abc import Mapping
from dataclasses import dataclass

from leangen.generator.plan.ledger import Item
from leangen.generator.plan.named import mean_bits
from leangen.generator.plan.parameters import PUBLISHED, Counts
from leangen.spec import Engine
from leangen.spec.spec import Model

GROUPS = "GPTQ's and AWQ's layout: a scale, and there a zero point, for each group"
SLACK = 16  # a window's cache is longer than it by one part of so many
SEMI_STRUCTURED = "PyTorch's semi-structured layout: half the values, 2 bits for each"


@dataclass(frozen=True)
class Weights:
    """Weights in an engine's format; group_size counts those that share a scale.

    by_bits: of the layers' matrices, whose usual bits are `bits`.
    skipping: share of the matrices' weights in matrices of pattern 2:4 for which the engine
    has a kernel.
    """

    counts: Counts
    engine: Engine
    bits: int
    by_bits: Mapping[int, int]
    group_size: int
    skipping: float


def stored(weights: Weights) -> list[Item]:
    """Account for the weights as their file holds them."""
    return _accounted(weights, loaded=False)


def resident(weights: Weights) -> list[Item]:
    """Account for the weights as the engine holds them."""
    return _accounted(weights, loaded=True)


def _accounted(weights: Weights, loaded: bool) -> list[Item]:
    counts, engine, bits = weights.counts, weights.engine, weights.bits
    wide = 32 if loaded and engine.widens and bits == 16 else bits
    items = _matrices(weights, wide)
    if bits < 16:
        items.append(_scales(weights, loaded))
    items.append(_embeddings(weights, wide, loaded))
    note = f"{counts.small:,} x {engine.norm_bits} bits: norms, biases, routers"
    small = counts.small * engine.norm_bits // 8
    return [*items, Item("norms", small, note, PUBLISHED)]


def _matrices(weights: Weights, wide: int) -> list[Item]:
    """Account for the layers' matrices, and for which of their values are kept."""
    count = weights.counts.matrices
    stored = weights.by_bits if wide == weights.bits else {wide: count}
    size = sum(bits * number for bits, number in stored.items()) / 8
    what = ", ".join(f"{number:,} x {bits} bits" for bits, number in stored.items())
    items = []
    if weights.skipping:
        skipping = int(count * weights.skipping)
        size -= skipping * wide / 16
        whole = f"{count - skipping:,} x {wide} bits, " if skipping < count else ""
        what = f"{whole}half of {skipping:,} x {wide} bits"
        kept = f"2 bits for each of {skipping // 2:,} kept values"
        items.append(Item("metadata", skipping // 8, kept, SEMI_STRUCTURED))
    if wide != weights.bits:
        what += ": 16-bit floats, widened by the engine"
    return [*items, Item("weights", int(size), what, PUBLISHED)]


def _scales(weights: Weights, loaded: bool) -> Item:
    """Account for what the groups of integers have beside them."""
    counts, engine = weights.counts, weights.engine
    scaled = counts.matrices
    if engine.head_scales:
        scaled += counts.head or counts.embedding
    group = engine.group_size or weights.group_size
    each = engine.scale_bits + (mean_bits(weights.by_bits) if engine.zeros else 0)
    formula = f"{scaled:,} / groups of {group} x {each:g} bits"
    times = 2 if loaded and engine.repacks else 1
    formula += ", twice: ONNX Runtime packs them again" if times == 2 else ""
    return Item("scales", int(times * scaled / group * each / 8), formula, GROUPS)


def _embeddings(weights: Weights, wide: int, loaded: bool) -> Item:
    """Account for the embedding and the head; a tied one is stored once, as the head.

    In an engine that unties floats it is there twice.
    """
    counts, engine, bits = weights.counts, weights.engine, weights.bits
    table, head = engine.embedding.get(bits, bits), engine.head.get(bits, wide)
    if counts.head or (loaded and engine.unties and bits >= 16):
        size = counts.embedding * (table + head) / 8
        formula = f"{counts.embedding:,} x {table:g} bits and x {head:g} bits"
    else:  # with scales of its own, the head is looked up in, too
        both = head if engine.head_scales else max(table, head)
        size = counts.embedding * both / 8
        formula = f"{counts.embedding:,} x {both:g} bits, tied"
    return Item("embeddings", int(size), formula, PUBLISHED)


@dataclass(frozen=True)
class Cache:
    """Keys and values of a model in an engine, in so many bits."""

    model: Model
    engine: Engine
    bits: int

    def rows(self, context: int) -> int:
        """Tokens whose keys and values are held."""
        return cache_rows(self.model, self.engine, context)

    def bytes(self, context: int, batch: int) -> int:
        """Bytes of so many sequences with their contexts full."""
        return int(self.bits_per_token * self.rows(context) * batch / 8) + self.scales

    @property
    def scales(self) -> int:
        """Bytes of scales that all tokens share."""
        each = self.engine.channel_scale_bits if self.bits < 16 else 0
        return self.channels * each // 8

    @property
    def channels(self) -> int:
        """Values of one token's keys and values in all layers."""
        width = self.model.num_key_value_heads * self.model.head_dim
        return 2 * self.model.num_hidden_layers * width

    @property
    def bits_per_token(self) -> float:
        """Bits of one token's keys and values in all layers, scales of integers included."""
        if self.bits >= 16:
            return self.channels * self.bits
        engine, heads = self.engine, self.channels // self.model.head_dim
        scales = self.channels * engine.cache_scale_bits / 32
        return self.channels * self.bits + scales + heads * engine.token_scale_bits

    @property
    def bytes_per_token(self) -> int:
        """Bytes of one token's keys and values in all layers."""
        return int(self.bits_per_token / 8)


def cache_rows(model: Model, engine: Engine, context: int) -> int:
    """Count the tokens whose keys and values are held: those of a sliding window will do.

    A full buffer's window moves to its start: with room to slide, that is rare.
    """
    if model.sliding_window is None or not engine.slides:
        return context
    return min(context, model.sliding_window + model.sliding_window // SLACK)


def kv_cache(cache: Cache, context: int, batch: int) -> Item:
    """Account for keys and values of the context, or its window, for each sequence."""
    model, bits, scales = cache.model, cache.bits, cache.engine.cache_scale_bits
    formula = (
        f"2 x {model.num_hidden_layers} layers x {model.num_key_value_heads} heads x "
        f"{model.head_dim} x {bits} bits x {cache.rows(context):,} tokens"
    )
    if bits < 16 and scales:
        formula += f", and {scales} bits for each 32 values"
    if bits < 16 and cache.engine.token_scale_bits:
        formula += f", and {cache.engine.token_scale_bits} bits for each one's scale"
    formula += f" x {batch} sequences" if batch > 1 else ""
    if cache.scales:
        formula += f", and {cache.channels:,} scales"
    size = cache.bytes(context, batch)
    return Item("kv_cache", size, formula, cache.engine.source)


def float32(item: str, weights: int) -> Item:
    """Account for weights in float32, as a checkpoint's."""
    return Item(item, 4 * weights, f"{weights:,} x 32 bits", PUBLISHED)
