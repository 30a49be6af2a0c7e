"""Passes of calibration text through a model, and how much of it is at work at once."""

from collections.abc import Callable
from dataclasses import dataclass

from leangen.generator.plan.budget import Place
from leangen.generator.plan.ledger import MIB, Item, StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.rates import Seconds
from leangen.spec.spec import Model

# Python and torch; CUDA's context and workspaces. Fitted: torch 2.11 on one H200, and
# torch 2.13.0 on x86.
RUNTIME = {"cpu": 225 * MIB, "cuda": 700 * MIB}


@dataclass(frozen=True)
class Passes:
    """A model and the text that passes through it: sequences of so many tokens."""

    model: Model
    counts: Counts
    place: Place
    length: int
    sequences: int
    precision: str

    @property
    def element(self) -> int:
        """Bytes of a value that a layer computes with."""
        return 2 if self.precision == "bf16" and self.place.device == "cuda" else 4

    @property
    def tokens(self) -> int:
        """Tokens of the text."""
        return self.sequences * self.length

    def calibration(self, copies: int, source: str = "prune.py") -> Item:
        """Account for the hidden states of the text, of so many models at once."""
        width, bits = self.model.hidden_size, 8 * self.element
        formula = f"{self.sequences} x {self.length} tokens x {width} x {bits} bits"
        formula = f"{copies} x {formula}" if copies > 1 else formula
        size = copies * self.tokens * width * self.element
        return Item("calibration", size, formula, source)


# What is held with so many sequences at once, and with the text's hidden states near, in
# the device's memory, or in its host's; and the moment when it is.
Ledger = Callable[[int, bool], tuple[str, tuple[Item, ...]]]


def plan_passes(
    stage: str, passes: Passes, useful: int, ledger: Ledger, seconds: Seconds
) -> StagePlan:
    """Plan a stage: as many sequences at once as help, up to `useful` tokens, and fit."""

    def fits(sequences: int, near: bool) -> bool:
        budget = passes.place.budget_bytes
        size = sum(item.bytes for item in ledger(sequences, near)[1])
        return budget is None or size <= budget

    near, most = fits(1, True), max(1, useful // passes.length)
    sizes = (n for n in (64, 32, 16, 8, 4, 2) if n <= most and fits(n, near))
    sequences = next(sizes, 1)
    moment, items = ledger(sequences, near)
    where = "" if near else ", hidden states on the host"
    return StagePlan(
        stage=stage,
        place=passes.place,
        ledger=items,
        moment=moment,
        seconds=seconds,
        decisions=(f"one layer at a time, {sequences} sequences at once{where}",),
        constants={
            "device": passes.place.device,
            "micro_batch": sequences,
            "bf16": passes.element == 2,
            "hidden_device": passes.place.device if near else "cpu",
        },
    )
