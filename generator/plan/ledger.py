"""What a stage holds at its worst moment: items in bytes, and how long it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The order in which people read a ledger.
ITEMS = (
    "weights",
    "scales",
    "metadata",
    "embeddings",
    "norms",
    "kv_cache",
    "activations",
    "logits",
    "gradients",
    "optimizer",
    "master_weights",
    "hessians",
    "calibration",
    "teacher",
    "runtime",
)


@dataclass(frozen=True)
class Item:
    """Something resident: bytes, the formula that they come from, and its source."""

    item: str
    bytes: int
    formula: str
    source: str


@dataclass(frozen=True)
class StagePlan:
    """A stage at its peak: what it holds, what it may hold, and its time in seconds.

    `device` is cpu or cuda: whose memory is counted. `seconds` is a range, None where
    nothing in the spec tells. `budget_bytes` is None for the host of a GPU, whose memory
    no spec names. `constants` are what its template receives of the plan, `decisions`
    the same in sentences.
    """

    stage: str
    device: str
    hardware: str
    budget_bytes: int | None
    ledger: tuple[Item, ...]
    seconds: tuple[float, float] | None = None
    moment: str = ""
    decisions: tuple[str, ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)

    @property
    def peak_bytes(self) -> int:
        """Sum of the ledger."""
        return sum(item.bytes for item in self.ledger)

    @property
    def fits(self) -> bool:
        """Whether the peak is within the budget."""
        return self.budget_bytes is None or self.peak_bytes <= self.budget_bytes


def arrange(items: Sequence[Item]) -> tuple[Item, ...]:
    """Leave out what takes nothing, and put the rest in the order of ITEMS."""
    resident = [item for item in items if item.bytes > 0]
    return tuple(sorted(resident, key=lambda item: ITEMS.index(item.item)))


def largest(*moments: tuple[str, Sequence[Item]]) -> tuple[str, tuple[Item, ...]]:
    """Choose the moment at which most is resident."""
    return max(
        ((name, arrange(items)) for name, items in moments),
        key=lambda moment: sum(item.bytes for item in moment[1]),
    )
