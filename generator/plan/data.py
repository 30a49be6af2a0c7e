"""Turning text into tokens: its memory."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan
from leangen.generator.plan.parameters import Counts
from leangen.spec import Spec

# Measured on x86 with tokenizers 0.23.3. A BPE's training counts the library's words.
RUNTIME = {"bytes": 40 * MIB, "bpe": 330 * MIB, "checkpoint": 74 * MIB}
DOCSTRINGS_RUNTIME = RUNTIME | {"bytes": 50 * MIB, "bpe": 87 * MIB}  # parsed; few words
EACH = 850  # bytes of a token in a checkpoint's tokenizer: 111 MiB of 49,152, 171 of 128,256


def plan_data(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the tokens: text is read file by file; a BPE's training counts all words."""
    parses = spec.data.source == "python-docstrings"
    size = (DOCSTRINGS_RUNTIME if parses else RUNTIME)[spec.tokenizer.kind]
    formula, moment = "Python, numpy", "however much text there is"
    if spec.tokenizer.kind == "checkpoint":
        size += EACH * spec.tokenizer.vocab_size
        formula += f", {spec.tokenizer.vocab_size:,} tokens x {EACH} bytes"
    if spec.tokenizer.kind == "bpe":
        moment = "more with more text"
        formula += ", a BPE's training on Python's library"
    return StagePlan(
        stage="data",
        place=target_place(spec, "cpu"),
        ledger=(Item("runtime", size, formula, MEASURED),),
        moment=moment,
    )
