"""Turning text into tokens: its memory."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec

RUNTIME = 40 * MIB  # Python and numpy
BPE_RUNTIME = 330 * MIB  # the words of Python's library, from which a BPE is learnt


def plan_data(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the tokens: text is read file by file; a BPE's training counts all words."""
    size, formula = RUNTIME, "Python, numpy"
    moment = "however much text there is"
    if spec.tokenizer.kind == "bpe":
        size, moment = BPE_RUNTIME, "more with more text"
        formula += ", a BPE's training on Python's library"
    return StagePlan(
        stage="data",
        place=target_place(spec, "cpu"),
        ledger=(Item("runtime", size, formula, MEASURED),),
        moment=moment,
    )
