"""Turning text into tokens: its memory."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec

RUNTIME = {
    "bytes": 40 * MIB,
    "bpe": 330 * MIB,
    "checkpoint": 150 * MIB,
}  # a BPE counts the library's words
DOCSTRINGS_RUNTIME = {
    "bytes": 50 * MIB,
    "bpe": 72 * MIB,
    "checkpoint": 160 * MIB,
}  # parsed; few words


def plan_data(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the tokens: text is read file by file; a BPE's training counts all words."""
    parses = spec.data.source == "python-docstrings"
    size = (DOCSTRINGS_RUNTIME if parses else RUNTIME)[spec.tokenizer.kind]
    formula, moment = "Python, numpy", "however much text there is"
    if spec.tokenizer.kind == "bpe":
        moment = "more with more text"
        formula += ", a BPE's training on Python's library"
    return StagePlan(
        stage="data",
        place=target_place(spec, "cpu"),
        ledger=(Item("runtime", size, formula, MEASURED),),
        moment=moment,
    )
