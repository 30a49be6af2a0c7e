"""Serving: the engine, its weights, and every sequence's context full."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.exempt import exempt_share
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan, largest
from leangen.generator.plan.named import weights_by_bits
from leangen.generator.plan.packed import is_packed_sparse, packed_items, working
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.rates import BANDWIDTH, PACKED_WORST, Seconds, over
from leangen.generator.plan.storage import Cache, Weights, kv_cache, resident, stored
from leangen.generator.stages.traits import calibrates_cache, packs, shares_steps
from leangen.spec import Engine, Spec
from leangen.spec.catalogue.on_gpu import rows_at_once
from leangen.spec.spec import Model

TOKENIZER = 10 * MIB  # the tokenizers package
ENTRY = 880  # bytes of a token with its merges: 870 of 49,152 (SmolLM2), 730 of 32,000
CONNECTIONS = 64  # that the server keeps open
HEADER = 2**13  # bytes of a request's header that it takes
RENDERER = 11 * MIB  # the process of a chat template: what it shares with no other
DRAWN = 48  # bytes of a logit, at most: sorted with its place, and its mass in 64 bits
PARSED = 16  # bytes of memory for each of them, where its fields are short
# Of the time that keys and values in 32 bits take: 0.78 at 9 heads, 0.83 at 32
# of 128, behind 1,900 tokens (onnxruntime 1.32.0).
INTEGERS_TAKE = 0.8
PREFILL = "3 x intermediate + 4 x hidden: reproduces measured prefill peaks within 3 %"


def plan_serve(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the server."""
    engine, bits = spec.engine, spec.quantization.kv_cache
    weights = weights_held(spec, counts)
    moment, held = running(spec, counts)
    return StagePlan(
        stage="serve",
        place=target_place(spec, engine.device, asked=True),
        ledger=held,
        moment=moment,
        seconds=_seconds(spec, counts, weights),
        decisions=(f"{engine_name(engine)}, keys and values in {bits} bits",),
        constants={
            "prefill": engine.step,
            "bits": spec.quantization.weights,
            "sparse": packs(spec) and is_packed_sparse(spec),
            "connections": CONNECTIONS + spec.target.batch - 1,
            "header_bytes": HEADER,
        },
    )


def running(spec: Spec, counts: Counts) -> tuple[str, tuple[Item, ...]]:
    """List what the engine holds at its worst moment, and say which that is."""
    return largest(*_moments(spec, weights_held(spec, counts)))


def engine_name(engine: Engine) -> str:
    """Name an engine with its device."""
    return f"{engine.engine} on {engine.device}"


def weights_of(spec: Spec, counts: Counts) -> Weights:
    """See the weights as the engine has them."""
    return Weights(
        counts=counts,
        engine=spec.engine,
        bits=spec.quantization.weights,
        by_bits=weights_by_bits(spec, counts),
        group_size=spec.quantization.group_size,
        skipping=1 - exempt_share(spec, counts) if skips_zeros(spec) else 0,
    )


def weights_held(spec: Spec, counts: Counts) -> list[Item]:
    """Account for the weights as the engine holds them."""
    if packs(spec):
        return packed_items(spec, counts)
    return resident(weights_of(spec, counts))


def exported_bytes(spec: Spec, counts: Counts) -> int:
    """Bytes of what the engine loads."""
    packed = packs(spec)
    items = packed_items(spec, counts) if packed else stored(weights_of(spec, counts))
    return sum(item.bytes for item in items)


def cache_of(spec: Spec) -> Cache:
    """See keys and values as the engine has them."""
    return Cache(spec.model, spec.engine, spec.quantization.kv_cache)


def skips_zeros(spec: Spec) -> bool:
    """Whether the engine stores only the kept weights of the pattern, at these bits.

    Where these differ by matrix, none are counted out.
    """
    able = spec.engine.patterns.get(spec.sparsity.pattern, ())
    if spec.quantization.exceptions:
        return False
    return spec.quantization.weights in able and spec.target.hardware.sparse_24


def tokenizer_bytes(spec: Spec) -> int:
    """Count what turns text into tokens, where they are not bytes."""
    return TOKENIZER + ENTRY * spec.tokenizer.vocab_size


def activations(model: Model, tokens: int, element: int) -> Item:
    """Account for what a prefill of so many tokens works in."""
    width = max(model.intermediate_size, model.moe_intermediate_size)
    each = 3 * width + 4 * model.hidden_size
    formula = f"{tokens:,} tokens x {each:,} x {8 * element} bits"
    return Item("activations", tokens * each * element, formula, PREFILL)


def _moments(spec: Spec, weights: list[Item]) -> list[tuple[str, list[Item]]]:
    """List the moments that compete: loading, where weights are widened, and running."""
    engine, model, target = spec.engine, spec.model, spec.target
    held = [*weights, _runtime(spec)]
    step = min(engine.step or target.context, target.context)
    full = [
        *held,
        kv_cache(cache_of(spec), target.context, target.batch),
        working(spec)
        if packs(spec)
        else activations(model, step, element=4 if engine.device == "cpu" else 2),
        _logits(spec),
    ]
    moments = [("all contexts full", full)]
    if engine.widens and spec.quantization.weights == 16:
        matrix = 4 * model.vocab_size * model.hidden_size
        widened = Item("activations", matrix, "the head, while it is widened", MEASURED)
        moments.append(("loading", [*held, widened]))
    return moments


def _logits(spec: Spec) -> Item:
    """Account for logits, and on a GPU for what draws tokens of several sequences from them."""
    rows, width = spec.target.batch, spec.model.vocab_size
    formula, size = f"{rows} x {width:,} x 32 bits", 4 * rows * width
    if shares_steps(spec):
        formula += f", and {DRAWN} bytes each to draw from them"
        size += DRAWN * rows * width
    return Item("logits", size, formula, MEASURED)


def _runtime(spec: Spec) -> Item:
    """Account for what is there before the first weight; rotary tables are ONNX Runtime's."""
    engine, size, what = spec.engine, spec.engine.runtime_bytes, "libraries, workspaces"
    if engine.device == "cpu" and spec.tokenizer.kind != "bytes":
        size += tokenizer_bytes(spec)
    if engine.engine == "onnxruntime":
        size += 4 * spec.target.context * spec.model.head_dim
        what += ", rotary tables"
    if engine.engine == "onnxruntime" and engine.device == "cpu":
        size += CONNECTIONS * HEADER * PARSED
        what += f", {CONNECTIONS} connections"
        if spec.given and spec.given.chat_template:
            size += RENDERER
            what += ", the chat template's process"
    return Item("runtime", size, what, engine.source)


def _read_of_cache(spec: Spec) -> float:
    """Bytes of the cache that are read for a token; of integers, those that take as long."""
    target = spec.target
    if not calibrates_cache(spec):
        return cache_of(spec).bytes(target.context, target.batch)
    floats = Cache(spec.model, spec.engine, bits=32)
    return INTEGERS_TAKE * floats.bytes(target.context, target.batch)


def _seconds(spec: Spec, counts: Counts, weights: list[Item]) -> Seconds | None:
    """One more token behind a full context, for each sequence: every byte is read once.

    The weights in torch for as many rows of a step as are multiplied at once. Of the experts those that a token visits, of the embedding a row. None on the host of
    a GPU, whose bandwidth no spec names.
    """
    engine, target = spec.engine, spec.target
    if engine.device != target.hardware.kind:
        return None
    bits = spec.quantization.weights
    layers = sum(
        i.bytes for i in weights if i.item in ("weights", "scales", "metadata")
    )
    work = layers * counts.active / counts.matrices
    work += counts.embedding * engine.head.get(bits, bits) / 8
    if packs(spec):
        work *= -(-target.batch // rows_at_once(target.hardware))
    work += _read_of_cache(spec)
    best, worst = BANDWIDTH[engine.device]
    if packs(spec):
        worst = PACKED_WORST[bits]
    return over(work, target.hardware.bandwidth, (best, worst))
