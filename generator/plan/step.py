"""A step of training: what is trained, how, and what its layers keep for the backward pass."""

from dataclasses import dataclass

from leangen.generator.plan.budget import Place, training_place
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec
from leangen.spec.defaults import LONGEST
from leangen.spec.spec import Model, Recover

GLIBC = (
    7 / 4
)  # of what autograd holds stays resident on a CPU: measured were 1.0 to 1.8


@dataclass(frozen=True)
class Training:
    """What the plan sees of a stage that trains, and all that its decisions come from.

    batch_size counts the sequences of a step of the optimizer, each `length` tokens long.
    `teacher` is what it distills from; `masked`: whether zeros are held.
    """

    model: Model
    counts: Counts
    place: Place
    precision: str
    batch_size: int
    length: int
    tokens: int
    teacher: Model | None
    masked: bool

    @property
    def element(self) -> int:
        """Bytes of a value that is computed with."""
        return 2 if self.precision == "bf16" else 4

    @property
    def teacher_element(self) -> int:
        """Bytes of a teacher's weight: as it is computed with; on a CPU, in float32."""
        return self.element if self.place.device == "cuda" else 4

    @property
    def whole_attention(self) -> bool:
        """Whether CUDA keeps attention's T x T weights: in float32, with grouped heads.

        No fused kernel of torch 2.11 takes that combination.
        """
        model = self.model
        grouped = model.num_key_value_heads != model.num_attention_heads
        return self.precision == "float32" and grouped


def training_of(spec: Spec, counts: Counts, recover: Recover | None) -> Training:
    """See a spec as what trains does: from scratch, given weights, or what pruning left."""
    return Training(
        model=spec.pruned if recover else spec.model,
        counts=counts,
        place=training_place(spec),
        precision=spec.train.precision,
        batch_size=spec.train.batch_size,
        length=sequence_length(spec),
        tokens=recover.tokens if recover else spec.train.tokens,
        teacher=spec.model if recover and recover.distill else None,
        masked=recover is not None and not spec.sparsity.shrinks,
    )


def sequence_length(spec: Spec) -> int:
    """Tokens in a training sequence; of given weights, those of the context, at most 2,048."""
    positions = spec.model.max_position_embeddings
    if not spec.model.pretrained:
        return positions
    return min(positions, spec.target.context, LONGEST)


@dataclass(frozen=True)
class Step:
    """A training with its decisions: sequences at once, and whether layers are recomputed."""

    training: Training
    micro_batch: int
    checkpointing: bool

    @property
    def tokens(self) -> int:
        """Tokens at once."""
        return self.micro_batch * self.training.length

    @property
    def accumulates(self) -> bool:
        """Whether gradients add up over several micro-batches."""
        return self.training.batch_size > self.micro_batch


def layer_bytes(training: Training) -> int:
    """Bytes a token that one layer keeps for its backward pass, on CUDA.

    In bf16 18 a feature (16 of them two float32 streams, their normalized copies, the query
    and the attention's output), 5 a key or value (4 of them those two), 6 of the
    feed-forward's width (three tensors), 4 a head (its sum of exponentials): a fit of free
    coefficients to seven runs gave 18.0, 4.8 to 5.3, and 5.7. In float32 the same tensors,
    of twice the bytes but for the streams.
    """
    model = training.model
    hidden, heads = model.hidden_size, model.num_attention_heads
    shared = model.num_key_value_heads * model.head_dim
    inner = inner_width(model)
    if training.precision == "bf16":
        return 18 * hidden + 5 * shared + 6 * inner + 4 * heads
    size = 28 * hidden + 8 * shared + 12 * inner + 4 * heads
    if training.whole_attention:
        repeated = (
            heads * model.head_dim - shared
        )  # keys and values, for each query head
        size += 4 * heads * training.length + 8 * repeated
    return size


def layer_bytes_on_cpu(model: Model) -> int:
    """Bytes a token that one layer keeps for its backward pass, in eager float32.

    Each operation keeps its inputs: four tensors of the feed-forward's width, nine of the
    stream's, one of keys and one of values.
    """
    shared = model.num_key_value_heads * model.head_dim
    return 16 * inner_width(model) + 36 * model.hidden_size + 8 * shared


def inner_width(model: Model) -> int:
    """Width that a token passes through in a feed-forward network, of its experts in all."""
    return max(
        model.intermediate_size if model.num_sparse_layers == 0 else 0,
        model.moe_intermediate_size * model.num_experts_per_tok,
    )


def kept(step: Step) -> tuple[int, str]:
    """Bytes that the layers keep from the forward pass on CUDA, and their formula."""
    training, model = step.training, step.training.model
    layers = model.num_hidden_layers
    if step.checkpointing:
        each, what = 4 * model.hidden_size, "layers' inputs"
    else:
        each, what = layer_bytes(training), "layers"
    size = layers * each * step.tokens
    if step.checkpointing and training.whole_attention:
        size += 4 * model.num_attention_heads * training.length * step.tokens
    formula = f"{layers} {what} x {each:,} bytes x {step.tokens:,} tokens"
    return size + 2 * model.hidden_size * step.tokens, formula


def working(step: Step) -> int:
    """Bytes that one layer's backward pass works in on CUDA: its tensors, their gradients."""
    copies = 3 if step.training.whole_attention else 2
    return copies * layer_bytes(step.training) * step.tokens


def kept_on_cpu(step: Step) -> tuple[int, str]:
    """Bytes that stay resident of what the layers keep, and their formula.

    Five times a layer where it is computed again: glibc gives little of what was freed back.
    """
    model, tokens = step.training.model, step.tokens
    layers, each = model.num_hidden_layers, layer_bytes_on_cpu(model)
    if step.checkpointing:
        inputs = 4 * model.hidden_size
        formula = f"layers' inputs and one layer's work x {tokens:,} tokens"
        return (int(GLIBC * layers * inputs) + 5 * each) * tokens, formula
    formula = f"{GLIBC} x {layers} layers x {each:,} bytes x {tokens:,} tokens"
    return int(GLIBC * layers * each) * tokens, formula
