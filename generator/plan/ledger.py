"""What a stage holds at its worst moment: items in bytes, and how long it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leangen.generator.plan.budget import Place
from leangen.generator.plan.rates import Seconds

MIB, GIB = 2**20, 2**30
MEASURED = "measured, resident on x86 (docs/results.md)"

# The most that a plan lay below what was measured (docs/results.md): the weights and the
# cache of qwen2.5-0.5b in GPTQ-Int4. Of our own scripts it was 5 percent, of evaluate.py.
UNDERSTATED = 0.062

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
    """A stage at its peak: where it runs, what it holds there, and its time.

    `moment` names the peak. `seconds` is a range, None where nothing in the spec tells.
    `constants` are what its template receives of the plan, `decisions` the same in
    sentences.
    """

    stage: str
    place: Place
    ledger: tuple[Item, ...]
    moment: str = ""
    seconds: Seconds | None = None
    decisions: tuple[str, ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)

    @property
    def peak_bytes(self) -> int:
        """Sum of the ledger."""
        return sum(item.bytes for item in self.ledger)

    @property
    def fits(self) -> bool:
        """Whether the peak is within the budget."""
        budget = self.place.budget_bytes
        return budget is None or self.peak_bytes <= budget

    @property
    def tight(self) -> bool:
        """Whether it fits, and might not if the plan is as far off as it has been seen."""
        budget = self.place.budget_bytes
        if budget is None:
            return False
        return (1 - UNDERSTATED) * budget < self.peak_bytes <= budget


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
