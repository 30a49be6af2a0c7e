"""What a valid spec is in Python: frozen dataclasses, in the order and the names of schema.json."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """Shape of a decoder, in the names of Hugging Face's config.json."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary; kind is bytes or bpe."""

    kind: str
    vocab_size: int


@dataclass(frozen=True)
class Data:
    """Sources of text; path and out_of_sample are globs."""

    source: str
    path: tuple[str, ...]
    out_of_sample: tuple[str, ...]


@dataclass(frozen=True)
class Train:
    """Training from scratch; batch_size counts sequences."""

    tokens: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    precision: str
    hardware: str
    seed: int


@dataclass(frozen=True)
class Recover:
    """Training with the mask held."""

    tokens: int
    learning_rate: float
    distill: bool


@dataclass(frozen=True)
class Sparsity:
    """Which weights become zero; pattern is dense, unstructured or N:M."""

    pattern: str
    ratio: float | None
    method: str
    recover: Recover | None

    @property
    def kept(self) -> tuple[int, int] | None:
        """(N, M) of an N:M pattern: N weights stay of every M neighbours."""
        if ":" not in self.pattern:
            return None
        n, m = self.pattern.split(":")
        return int(n), int(m)


@dataclass(frozen=True)
class Quantization:
    """Bits of the exported weights."""

    weights: int
    group_size: int
    arithmetic: str


@dataclass(frozen=True)
class Target:
    """Where the model is served; vram_budget in bytes, context in tokens."""

    hardware: str
    vram_budget: int
    context: int


@dataclass(frozen=True)
class Serve:
    """Where the server listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Gates:
    """What the exported model must reach."""

    perplexity_ratio: float | None


@dataclass(frozen=True)
class Spec:
    """One page of YAML, validated, with every default filled in."""

    name: str
    model: Model
    tokenizer: Tokenizer
    data: Data
    train: Train
    sparsity: Sparsity
    quantization: Quantization
    target: Target
    serve: Serve
    gates: Gates
