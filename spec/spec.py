"""What a valid spec is in Python: frozen dataclasses, in the order and the names of schema.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from leangen.spec.catalogue.engines import Engine
from leangen.spec.catalogue.given import Given
from leangen.spec.catalogue.hardware import Hardware
from leangen.spec.catalogue.rope import RopeScaling
from leangen.spec.structure import channels_left, some_left
from leangen.spec.text.document import Document


@dataclass(frozen=True)
class Model:
    """Shape of a decoder, in the names of Hugging Face's config.json.

    `architecture` is its model_type. `num_experts` is 0 in a dense model; in others
    `num_sparse_layers` of the layers have experts, `moe_intermediate_size` wide.
    `partial_window` is a sliding window that only some of the layers have.
    `pretrained`: whether its weights are given, those of a checkpoint or a preset's;
    `tuned`: whether a checkpoint's are trained further.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding_window: int | None = None
    partial_window: int | None = None
    num_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    num_sparse_layers: int = 0
    norm_topk_prob: bool = False
    rope_scaling: RopeScaling | None = None
    dtype: str = "float32"
    checkpoint: str | None = None
    preset: str | None = None
    pretrained: bool = False
    tuned: bool = False

    @property
    def feed_forward(self) -> str:
        """Name of a layer's part that is no attention."""
        return "block_sparse_moe" if self.architecture == "mixtral" else "mlp"

    @property
    def gate(self) -> str:
        """Name of the projection that gates another."""
        return "w1" if self.architecture == "mixtral" else "gate_proj"

    @property
    def up(self) -> str:
        """Name of the projection that is gated."""
        return "w3" if self.architecture == "mixtral" else "up_proj"

    @property
    def down(self) -> str:
        """Name of the projection back to the stream."""
        return "w2" if self.architecture == "mixtral" else "down_proj"


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary; kind is bytes, bpe or checkpoint. `ends`: the latter's last tokens."""

    kind: str
    vocab_size: int
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Data:
    """Sources of text; path, calibration, test and out_of_sample are globs.

    `field`: where an object of a file of JSON lines holds its text.
    """

    source: str
    path: tuple[str, ...]
    field: str
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    out_of_sample: tuple[str, ...]


@dataclass(frozen=True)
class Train:
    """Training; batch_size counts sequences, warmup is a share of the steps."""

    tokens: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    warmup: float
    max_grad_norm: float
    save_minutes: float
    precision: str
    hardware: Hardware
    seed: int


@dataclass(frozen=True)
class Recover:
    """Training after pruning; scope is model, all at once, or layers, one by one.

    `learning_rate` is a share of a matrix's root mean square with scope layers.
    `rewind`: after which share of the training's steps come the weights that it begins with.
    """

    scope: str
    tokens: int
    learning_rate: float
    distill: bool
    rewind: float | None = None

    @property
    def by_layers(self) -> bool:
        """Whether one layer after the other is trained."""
        return self.scope == "layers"


@dataclass(frozen=True)
class Sparsity:
    """Which weights become zero, or go; pattern is dense, unstructured, N:M or structured.

    `ratio`: share of the weights; where structured, of the feed-forward channels, beside
    `heads`, of the key and value heads, and `layers`.
    `steps`: how often weights become zero: once before the recovery, then while it trains.
    `exempt`: what stays dense: numbers of layers, names of projections, and both together.
    """

    pattern: str
    ratio: float | None
    heads: float | None
    layers: float | None
    method: str
    steps: int
    exempt: tuple[int | str, ...]
    calibration_sequences: int
    recover: Recover | None

    @property
    def kept(self) -> tuple[int, int] | None:
        """(N, M) of an N:M pattern: N weights stay of every M neighbours."""
        if ":" not in self.pattern:
            return None
        n, m = self.pattern.split(":")
        return int(n), int(m)

    @property
    def gone(self) -> tuple[float, ...]:
        """What is zero after each step: weights of a group in N:M, else a share of all.

        Shares follow a cubic: most goes early, where there is most to spare (Zhu and
        Gupta, 2017, arXiv:1710.01878).
        """
        done = [step / self.steps for step in range(1, self.steps + 1)]
        if self.kept:
            n, m = self.kept
            return tuple(math.ceil((m - n) * part) for part in done)
        share = self.ratio or 0.0
        return tuple(round(share * (1 - (1 - part) ** 3), 4) for part in done)

    @property
    def shrinks(self) -> bool:
        """Whether what goes leaves a smaller dense model, and no zeros."""
        return self.pattern == "structured"


@dataclass(frozen=True)
class Quantization:
    """Bits of the exported weights, and of the keys and values.

    `exceptions`: by bits that are not `weights`, what has them: numbers of layers, names of
    projections, and both together as 3.down_proj.
    """

    weights: int
    exceptions: Mapping[int, tuple[int | str, ...]]
    group_size: int
    method: str
    calibration_sequences: int
    arithmetic: str
    kv_cache: int


@dataclass(frozen=True)
class Export:
    """What is written beside the model that the engine loads: compressed-tensors, gguf."""

    formats: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """Where the model is served: vram_budget in bytes, context in tokens, batch in sequences.

    `budget_given`: whether the author wrote the budget, or it is all that is usable.
    """

    hardware: Hardware
    vram_budget: int
    budget_given: bool
    context: int
    batch: int


@dataclass(frozen=True)
class Serve:
    """What serves, on which device (cpu or cuda), and where it listens."""

    engine: str
    device: str
    host: str
    port: int


@dataclass(frozen=True)
class Evaluate:
    """How much is measured: tokens of each text, at most."""

    tokens: int
    sensitivity: bool


@dataclass(frozen=True)
class Gates:
    """What the exported model must reach."""

    perplexity_ratio: float | None


@dataclass(frozen=True)
class Budget:
    """What the imports of a stage may bring in; megabytes are of 10^6 bytes."""

    stage: str
    max_packages: int | None
    max_megabytes: float | None


@dataclass(frozen=True)
class Sweep:
    """What leangen sweep varies, in lines that spec/axes.py reads.

    `repeat`: how many seeds each variant is run with.
    """

    over: tuple[str, ...]
    without: tuple[str, ...]
    repeat: int


@dataclass(frozen=True)
class Parts:
    """Templates of the author: by the path of leangen's that each stands in for, its text.

    `folder` is where they lie, as errors name it.
    """

    folder: str = ""
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Spec:
    """One page of YAML, validated, with every default filled in.

    `ejected` names files of the folder that are the author's, `templates` a folder beside the
    spec, and `parts` are the templates in it.
    `engine` is the row of the catalogue that `serve` names. `written` is what the page
    itself says, `given` what its checkpoint says: variants are made from them.
    `document` knows where each field stands: a file may be a pipe, read once.
    """

    name: str
    model: Model
    tokenizer: Tokenizer
    data: Data
    train: Train
    sparsity: Sparsity
    quantization: Quantization
    export: Export
    target: Target
    serve: Serve
    evaluate: Evaluate
    gates: Gates
    budget: tuple[Budget, ...]
    sweep: Sweep
    ejected: tuple[str, ...]
    templates: str | None
    engine: Engine
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    given: Given | None = field(default=None, compare=False, repr=False)
    document: Document | None = field(default=None, compare=False, repr=False)
    parts: Parts = field(default=Parts(), compare=False, repr=False)

    @property
    def pruned(self) -> Model:
        """The model that pruning leaves: a smaller one where that is structured."""
        model, sparsity = self.model, self.sparsity
        if not sparsity.shrinks:
            return model
        shared = some_left(model.num_key_value_heads, sparsity.heads)
        queries = model.num_attention_heads // model.num_key_value_heads
        return replace(
            model,
            intermediate_size=channels_left(model.intermediate_size, sparsity.ratio),
            num_hidden_layers=some_left(model.num_hidden_layers, sparsity.layers),
            num_attention_heads=queries * shared,
            num_key_value_heads=shared,
        )
