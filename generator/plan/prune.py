"""Pruning: one layer at a time, with its calibration text, or matrix by matrix."""

from dataclasses import dataclass
from functools import partial

from leangen.generator.plan.budget import training_place
from leangen.generator.plan.fitting import PRUNING, plan_fitting, sequences_of
from leangen.generator.plan.ledger import MIB, Item, StagePlan, arrange
from leangen.generator.plan.parameters import PUBLISHED, Counts
from leangen.generator.plan.passes import RUNTIME, Passes, plan_passes
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.step import sequence_length
from leangen.generator.plan.train_memory import FITTED, runtime
from leangen.generator.stages.traits import calibrates, surgical
from leangen.spec import Spec
from leangen.spec.spec import Model

USEFUL_TOKENS = {"cpu": 4_096, "cuda": 16_384}  # at once: chosen
# Bytes a weight while sizes compete, measured on x86 with torch 2.13.0: in groups the size
# and the place of each kept one; in the whole matrix a flat copy, its order and its places.
IN_GROUPS, IN_ALL = 8, 26
INVERSION = 3  # products of such matrices that an inverse and its updates come to
MATRICES = 4  # beside a Gram matrix, as large: its inverse, and what is made of that
MAGNITUDE_RUNTIME = {**RUNTIME, "cuda": 620 * MIB}  # no products, no workspaces


@dataclass(frozen=True)
class Pruning(Passes):
    """What the plan sees of pruning, and all that its decisions come from."""

    in_groups: bool  # N of M neighbours stay, not a share of all weights
    left: Model  # what structured pruning leaves; without it, the model

    @property
    def fitted(self) -> int:
        """Inputs of the widest matrix that structured pruning fits, 0 where it fits none."""
        model, left = self.model, self.left
        heads = model.num_attention_heads * model.head_dim
        fewer_heads = left.num_attention_heads < model.num_attention_heads
        channels = (left.intermediate_size, left.num_hidden_layers)
        whole = (model.intermediate_size, model.num_hidden_layers)
        return max(
            model.intermediate_size if channels != whole else 0,
            heads if fewer_heads else 0,
        )

    @property
    def streams(self) -> int:
        """Copies of the hidden states: what layers that go did is a goal of its own."""
        return 2 if self.left.num_hidden_layers < self.model.num_hidden_layers else 1


def plan_prune(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the pruning."""
    pruning = Pruning(
        model=spec.model,
        counts=counts,
        place=training_place(spec),
        length=sequence_length(spec),
        sequences=sequences_of(spec)
        if surgical(spec)
        else spec.sparsity.calibration_sequences,
        precision=spec.train.precision,
        in_groups=spec.sparsity.ratio is None,
        left=spec.pruned,
    )
    if surgical(spec):
        return plan_fitting("prune", pruning, PRUNING)
    if not calibrates(spec):
        return _magnitude(pruning)
    useful = USEFUL_TOKENS[pruning.place.device]
    held = partial(_ledger, pruning)
    return plan_passes("prune", pruning, useful, held, _seconds(pruning))


def _magnitude(pruning: Pruning) -> StagePlan:
    """Plan pruning by size: matrix by matrix, and without text."""
    device, counts = pruning.place.device, pruning.counts
    held = max(counts.largest, counts.embedding if device == "cpu" else 0)
    each = IN_GROUPS if pruning.in_groups else IN_ALL
    sizes = f"{counts.largest:,} sizes x {each} bytes"
    items = [
        runtime(device, MAGNITUDE_RUNTIME),
        Item("weights", 4 * held, f"{held:,} x 32 bits", PUBLISHED),
        Item("activations", each * counts.largest, sizes, FITTED),
    ]
    constants = {"device": device}
    return StagePlan("prune", pruning.place, arrange(items), constants=constants)


def _ledger(
    pruning: Pruning, sequences: int, near: bool
) -> tuple[str, tuple[Item, ...]]:
    """List what prune.py holds: a layer, the text's hidden states, and what is at work."""
    device, layer = pruning.place.device, pruning.counts.layer
    bits = 8 * pruning.element if device == "cuda" else 96
    items = [runtime(device, RUNTIME)]
    items += [pruning.calibration(pruning.streams)] if near else []
    items += [_gram(pruning)] if pruning.fitted else []
    note = f"{layer:,} x {bits} bits" + (", as stored, dense, pruned" * (bits == 96))
    weights = Item("weights", layer * bits // 8, note, PUBLISHED)
    return "", arrange([*items, weights, _work(pruning, sequences)])


def _work(pruning: Pruning, sequences: int) -> Item:
    """Account for a layer's forward pass, or for the scores of its largest matrix, or a fit.

    16 bytes a weight: its size and its score in float32, and the place of a kept one.
    """
    tokens, each = sequences * pruning.length, _bytes_a_token(pruning)
    formula = f"{tokens:,} tokens x {each:,} bytes"
    work = Item("activations", tokens * each, formula, FITTED)
    matrix = pruning.counts.largest
    score = Item("activations", 16 * matrix, f"{matrix:,} scores x 16 bytes", FITTED)
    if pruning.left != pruning.model:
        width = pruning.fitted
        formula = f"a fit: {MATRICES} x {width:,} x {width:,} x 32 bits"
        score = Item("activations", MATRICES * 4 * width**2, formula, "prune.py")
    return max(work, score, key=lambda item: item.bytes)


def _gram(pruning: Pruning) -> Item:
    """Account for the Gram matrix that a fit starts from."""
    width = pruning.fitted
    formula = f"{width:,} x {width:,} x 32 bits"
    return Item("hessians", 4 * width**2, formula, "prune.py")


def _bytes_a_token(pruning: Pruning) -> int:
    """Bytes that a layer's forward pass in float32 holds for a token at its worst moment.

    The feed-forward network's: three tensors of its width and three of the stream's, and
    on a CPU a fourth, all of them twice. On CUDA eight of the stream's where attention is larger; grouped
    heads have no fused float32 kernel in torch 2.11: the attention weights are there twice.
    """
    model = pruning.model
    hidden, heads = model.hidden_size, model.num_attention_heads
    shared = model.num_key_value_heads * model.head_dim
    feed_forward = 12 * (hidden + model.intermediate_size)
    if pruning.element == 2:  # half of it, and the norm of the widest input in float32
        return feed_forward // 2 + 4 * model.intermediate_size
    if pruning.place.device == "cpu":  # twice: glibc keeps much of what is freed
        return 2 * (feed_forward + 4 * model.intermediate_size)
    if model.num_key_value_heads != heads:
        return 44 * hidden + 12 * shared + 8 * heads * pruning.length
    return max(feed_forward, 32 * hidden)


def _seconds(pruning: Pruning) -> Seconds:
    """Two passes of the calibration text through every layer; three and fits at the most."""
    hardware, tokens = pruning.place.hardware, pruning.tokens
    half = pruning.element == 2
    rate = hardware.flops_bf16 if half else hardware.flops_float32
    shares = ARITHMETIC[hardware.kind]
    once, passes, fits = 2 * tokens * pruning.counts.active, 2, 0
    if pruning.fitted:
        passes += pruning.streams
        fits = 2 * pruning.fitted**2 * (tokens + INVERSION * pruning.fitted)
        fits *= pruning.model.num_hidden_layers
    reading = over(once * passes, rate, shares)
    fitting = over(fits, hardware.flops_float32, shares)
    best, worst = (sum(ends) for ends in zip(reading, fitting, strict=True))
    return best, worst
