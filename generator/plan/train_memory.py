"""Memory of a step of training, or of recovery: its ledger at its worst moment.

The coefficients of a CUDA device were fitted to 34 runs of the generated scripts on one
H200 with torch 2.11 (5 M to 1.1 B parameters, bf16 and float32, with and without
checkpointing), those of a CPU to runs on x86 with torch 2.13.0; docs/results.md has both
beside their predictions. Other cards and versions were not measured.
"""

from collections.abc import Mapping

from leangen.generator.plan.ledger import MIB, Item, arrange, largest
from leangen.generator.plan.parameters import count
from leangen.generator.plan.step import (
    Step,
    Training,
    kept,
    kept_on_cpu,
    working,
)

# Python and torch; CUDA's context and workspaces. What runs took beside the tensors.
RUNTIME = {"cpu": 315 * MIB, "cuda": 790 * MIB}
# Copies of the logits that a CPU holds at once: themselves, their log-softmax, and the
# gradients of both; with the teacher's, as fitted.
LOGITS, DISTILLED_LOGITS = 4, 6.5
FITTED = "fitted to measured runs (docs/results.md)"
ADAMW = "AdamW in float32: weights, gradients, two moments"


def ledger(step: Step) -> tuple[str, tuple[Item, ...]]:
    """List what a training step holds at its worst moment, and name that moment."""
    if step.training.place.device == "cpu":
        return "end of the forward pass", arrange(_on_cpu(step))
    moments = [
        ("end of the forward pass", _after_forward(step)),
        ("end of the backward pass", _after_backward(step)),
    ]
    if step.checkpointing:  # without, the end of the forward pass holds more
        moments.insert(1, ("backward pass", _in_backward(step)))
    return largest(*moments)


def runtime(device: str, sizes: Mapping[str, int]) -> Item:
    """Account for what is there before the first tensor."""
    what = {"cpu": "Python, torch", "cuda": "CUDA's context and workspaces"}
    return Item("runtime", sizes[device], what[device], FITTED)


def _state(training: Training) -> list[Item]:
    """What stays from step to step."""
    total, matrices = training.counts.total, training.counts.matrices
    items = [
        Item("master_weights", 4 * total, f"{total:,} x 32 bits", ADAMW),
        Item("optimizer", 8 * total, f"{total:,} x 2 moments x 32 bits", ADAMW),
        runtime(training.place.device, RUNTIME),
    ]
    if training.masked:
        mask = f"{matrices:,} x 1 byte: which weights are zero"
        items.append(Item("metadata", matrices, mask, "recover.py"))
    if training.teacher:
        size, weights = training.teacher_element, count(training.teacher).total
        note = f"{weights:,} x {8 * size} bits: the dense model"
        items.append(Item("teacher", size * weights, note, "recover.py"))
    return items


def _bf16_copies(training: Training, weights: int) -> Item:
    size = 2 * weights if training.precision == "bf16" else 0
    formula = f"{weights:,} x 16 bits: copies to compute with"
    return Item("weights", size, formula, FITTED)


def _accumulated(step: Step) -> int:
    """Bytes of the gradients that earlier micro-batches left."""
    return 4 * step.training.counts.total if step.accumulates else 0


def _after_forward(step: Step) -> list[Item]:
    """All layers are kept and the logits are there; gradients begin with the head's."""
    training, counts = step.training, step.training.counts
    vocabulary, head = training.model.vocab_size, counts.embedding
    size, formula = kept(step)
    copied = head if step.checkpointing else counts.matrices + head
    rows = 2 if training.teacher else 1
    logits = f"{rows} x {step.tokens:,} tokens x {vocabulary:,}"
    old = _accumulated(step)
    gradients = "accumulated, and the head's" if old else "the head's"
    return [
        *_state(training),
        _bf16_copies(training, copied),
        Item("activations", size, formula, FITTED),
        Item(
            "logits",
            rows * training.element * vocabulary * step.tokens,
            f"{logits} x {8 * training.element} bits",
            FITTED,
        ),
        Item("gradients", old + training.element * head, gradients, ADAMW),
    ]


def _in_backward(step: Step) -> list[Item]:
    """The last layer's backward pass: the others' inputs or activations are still kept."""
    training, counts = step.training, step.training.counts
    size, formula = kept(step)
    new = 4 * (counts.embedding + counts.layer)
    gradients = "float32, as far as they are"
    return [
        *_state(training),
        _bf16_copies(training, counts.layer),
        Item(
            "activations",
            size + working(step),
            f"{formula}, and one layer's work",
            FITTED,
        ),
        Item("gradients", _accumulated(step) + new, gradients, ADAMW),
    ]


def _after_backward(step: Step) -> list[Item]:
    """The first layer's backward pass: the graph gives up all gradients at its end.

    The embedding's comes last, when all else is free.
    """
    training, counts = step.training, step.training.counts
    old, new = _accumulated(step), 4 * (counts.total - counts.head)
    formula = "all but the embedding's, in float32"
    formula += ", beside the accumulated ones" if old else ""
    size = 4 * training.model.hidden_size * step.tokens + working(step)
    return [
        *_state(training),
        _bf16_copies(training, counts.layer),
        Item("activations", size, "one layer's work", FITTED),
        Item("gradients", old + new, formula, ADAMW),
    ]


def _on_cpu(step: Step) -> list[Item]:
    """Eager float32: each operation keeps its inputs; gradients add up in place."""
    training, total = step.training, step.training.counts.total
    vocabulary = training.model.vocab_size
    size, formula = kept_on_cpu(step)
    rows = DISTILLED_LOGITS if training.teacher else LOGITS
    logits = f"{rows:g} x {step.tokens:,} tokens x {vocabulary:,} x 32 bits"
    return [
        *_state(training),
        Item("activations", size, formula, FITTED),
        Item("logits", int(rows * 4 * vocabulary * step.tokens), logits, FITTED),
        Item("gradients", 4 * total, f"{total:,} x 32 bits", ADAMW),
    ]
