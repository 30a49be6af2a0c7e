"""Evaluation on a GPU: all texts through a layer at a time, then through two heads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from leangen.generator.plan.budget import Place, training_place
from leangen.generator.plan.export import STORAGE
from leangen.generator.plan.ledger import GIB, Item, StagePlan, largest
from leangen.generator.plan.named import weights_by_bits
from leangen.generator.plan.parameters import PUBLISHED, Counts, count
from leangen.generator.plan.passes import RUNTIME
from leangen.generator.plan.prune import USEFUL_TOKENS
from leangen.generator.plan.serve import running
from leangen.generator.plan.step import inner_width, sequence_length
from leangen.generator.plan.storage import Cache, Weights, kv_cache, resident
from leangen.generator.plan.train_memory import runtime
from leangen.generator.stages.artifacts import measured_texts
from leangen.generator.stages.traits import packs
from leangen.spec import Spec, engines
from leangen.spec.spec import Model

WINDOW = 512  # tokens of a window; a shorter context has none
LOGITS_BYTES = 2**28  # of a chunk's logits, at most: there are several such tensors
LOGITS = 5  # tensors: two log-softmaxes, and what their divergence works in
CONTINUED = 32  # tokens of a sample: for each, all layers go to the device, unless they fit there
COUNTED = "counted, evaluate.py"
Moment = tuple[str, Sequence[Item]]  # what is held then


@dataclass(frozen=True)
class Measuring:
    """What the plan sees of the evaluation, and all that its decisions come from."""

    model: Model
    counts: Counts
    place: Place
    length: int
    tokens: int  # of all texts, at most
    element: int  # bytes of a value that a layer computes with

    @property
    def hidden_bytes(self) -> int:
        """Bytes of the hidden states of all texts."""
        return self.tokens * self.model.hidden_size * self.element


def plan_in_torch(spec: Spec, counts: Counts, prefill: int) -> StagePlan:
    """Plan the evaluation on the GPU; the exported model runs on its host's CPU, too."""
    measuring = _measuring(spec, counts)
    near = _fits(measuring, measuring.length, near=True)
    step = _step(measuring, near)
    moments, samples = [*_moments(measuring, step, near)], _samples(measuring, near)
    if packs(spec):  # and its texts and speed are those of its engine
        left = replace(spec, model=spec.pruned)
        moments.append(("the server's engine", running(left, count(left.model))[1]))
    resident = within(samples[1], measuring.place.budget_bytes)
    moment, held = largest(*moments, *[samples] * resident)
    bits = spec.quantization.weights
    storage = STORAGE.get(bits, "quantized")
    if packs(spec) and bits == 16:
        storage = "bfloat16"
    return StagePlan(
        stage="evaluate",
        place=measuring.place,
        ledger=held,
        moment=moment,
        decisions=(
            f"one layer at a time, {step:,} tokens at once",
            f"up to {_on_host(spec, measuring, near) / GIB:.1f} GiB on the host",
        ),
        constants={
            "instrument": "torch",
            "storage": storage,
            "bf16": measuring.element == 2,
            "step": step,
            "chunk": _chunk(spec.model.vocab_size),
            "hidden_device": "cuda" if near else "cpu",
            "resident": resident,
            "prefill": prefill,
            "continued": CONTINUED,
        },
    )


def texts_and_windows(spec: Spec) -> int:
    """Count what is measured: the texts, and one of them in windows where those fit."""
    windows = 1 if spec.target.context >= WINDOW else 0
    return len(measured_texts(spec)) + windows


def _measuring(spec: Spec, counts: Counts) -> Measuring:
    length = min(spec.target.context, sequence_length(spec))
    return Measuring(
        model=spec.model,
        counts=counts,
        place=training_place(spec),
        length=length,
        tokens=texts_and_windows(spec) * max(spec.evaluate.tokens, length),
        element=2 if spec.train.precision == "bf16" else 4,
    )


def _chunk(vocab_size: int) -> int:
    """Tokens whose logits are in memory at once."""
    return min(4096, max(16, LOGITS_BYTES // (4 * vocab_size)))


def _step(measuring: Measuring, near: bool) -> int:
    """Choose the most tokens at once that help and fit; a sequence at the least."""
    step = USEFUL_TOKENS["cuda"]
    while step > measuring.length and not _fits(measuring, step, near):
        step //= 2
    return max(step, measuring.length)


def _fits(measuring: Measuring, step: int, near: bool) -> bool:
    """Tell whether so many tokens at once fit the budget.

    `near`: with the hidden states of all in the device's memory, not in its host's.
    """
    _, held = largest(*_moments(measuring, step, near))
    return within(held, measuring.place.budget_bytes)


def within(held: Sequence[Item], budget: int | None) -> bool:
    """Tell whether a budget, if there is one, holds all of it."""
    return budget is None or sum(item.bytes for item in held) <= budget


def _moments(measuring: Measuring, step: int, near: bool) -> Sequence[Moment]:
    """List the moments that compete: in a layer, and behind the layers."""
    held = _held(measuring, near)
    return [
        ("a layer", [*held, _work(measuring, step)]),
        ("two heads", [*held, *_heads(measuring)]),
    ]


def _samples(measuring: Measuring, near: bool) -> Moment:
    """List what is held while the dense model goes on, all its layers on the device."""
    return "samples", _held(measuring, near, measuring.model.num_hidden_layers + 1)


def _held(measuring: Measuring, near: bool, layers: int = 1) -> list[Item]:
    """List what is held throughout: a layer, or more, and the texts' hidden states if near."""
    layer, bits = layers * measuring.counts.layer, 8 * measuring.element
    weights = Item("weights", layer * bits // 8, f"{layer:,} x {bits} bits", PUBLISHED)
    held = [runtime("cuda", RUNTIME), weights]
    if near:
        width = measuring.model.hidden_size
        formula = f"{measuring.tokens:,} tokens x {width:,} x {bits} bits"
        size = measuring.hidden_bytes
        held.append(Item("calibration", size, f"{formula}: hidden states", COUNTED))
        held.append(Item("teacher", size, f"{formula}: the dense model's", COUNTED))
    return held


def _work(measuring: Measuring, step: int) -> Item:
    """Account for a layer's forward pass."""
    tokens, each = min(step, measuring.tokens), _bytes_a_token(measuring)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    return Item("activations", tokens * each, formula, COUNTED)


def _bytes_a_token(measuring: Measuring) -> int:
    """Bytes that a layer's forward pass holds for a token at its worst moment.

    Three tensors of the feed-forward's width and three of the stream's; or attention's,
    whose rotation is in float32: as prune.py's in float32, where grouped heads have no
    fused kernel.
    """
    model, element = measuring.model, measuring.element
    hidden, heads = model.hidden_size, model.num_attention_heads
    shared = model.num_key_value_heads * model.head_dim
    feed_forward = 3 * element * (hidden + inner_width(model))
    attention = 32 * hidden
    if element == 2:
        attention = 24 * hidden
    elif model.num_key_value_heads != heads:
        attention = 44 * hidden + 12 * shared + 8 * heads * measuring.length
    return max(feed_forward, attention)


def _heads(measuring: Measuring) -> list[Item]:
    """Account for the heads of two models, in float32, and a chunk of their logits."""
    table, vocabulary = measuring.counts.embedding, measuring.model.vocab_size
    tokens = min(_chunk(vocabulary), measuring.tokens)
    formula = f"{LOGITS} x {tokens:,} tokens x {vocabulary:,} x 32 bits"
    return [
        Item("embeddings", 8 * table, f"2 x {table:,} x 32 bits: two heads", COUNTED),
        Item("logits", 4 * LOGITS * tokens * vocabulary, formula, COUNTED),
    ]


def _on_host(spec: Spec, measuring: Measuring, near: bool) -> int:
    """Count what the host holds: the exported model as it runs, or tables and a layer."""
    counts, engine = measuring.counts, engines()["onnxruntime-cpu"]
    weights = Weights(
        counts=counts,
        engine=engine,
        bits=spec.quantization.weights,
        by_bits=weights_by_bits(spec, counts),
        group_size=spec.quantization.group_size,
        skipping=0,
    )
    cache = kv_cache(Cache(spec.model, engine, bits=32), spec.target.context, batch=1)
    running = sum(item.bytes for item in [*resident(weights), cache])
    tables = 4 * 2 * (counts.embedding + counts.head) + 4 * counts.layer
    hidden = 0 if near else 2 * measuring.hidden_bytes
    return RUNTIME["cpu"] + engine.runtime_bytes + max(running, tables + hidden)
