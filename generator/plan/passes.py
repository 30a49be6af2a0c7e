"""Passes of calibration text through a model: what they are counted from."""

from dataclasses import dataclass

from leangen.generator.plan.budget import Place, training_place
from leangen.generator.plan.ledger import MIB
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.step import sequence_length
from leangen.spec import Spec
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
    def calibration_bytes(self) -> int:
        """Bytes of the hidden states of the text."""
        return self.sequences * self.length * self.model.hidden_size * self.element


def passes_of(spec: Spec, counts: Counts, sequences: int) -> Passes:
    """Take what passes of so many sequences are counted from."""
    return Passes(
        model=spec.model,
        counts=counts,
        place=training_place(spec),
        length=sequence_length(spec),
        sequences=sequences,
        precision=spec.train.precision,
    )
