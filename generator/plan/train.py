"""Decisions that make training fit: how many sequences at once, and what is recomputed."""

from collections.abc import Iterator
from types import SimpleNamespace

from leangen.generator.plan.train_memory import Training, ledger, sequence_length

MICRO_BATCH_TOKENS = {"cpu": 16_384, "cuda": 65_536}  # more is hardly faster
ENOUGH_TOKENS = {
    "cpu": 1_024,
    "cuda": 8_192,
}  # chosen: with fewer, layers are recomputed


def budget(view: SimpleNamespace) -> int:
    """Bytes that training may take: those of the target where it runs there."""
    if view.train.hardware == view.target.hardware:
        return int(view.target.vram_budget)
    return int(view.train.hardware.usable_bytes)


def decide(view: SimpleNamespace) -> Training:
    """Choose the most sequences at once that divide the batch, help and fit.

    Layers are recomputed only where fewer sequences than keep the device busy would fit
    without: recomputing costs a third more arithmetic, small micro-batches cost less.
    """
    device, length = view.train.hardware.kind, sequence_length(view)
    batch, most = view.train.batch_size, budget(view)
    useful = min(batch, max(1, MICRO_BATCH_TOKENS[device] // length))
    enough = min(useful, -(-ENOUGH_TOKENS[device] // length))
    sizes = [n for n in range(useful, 0, -1) if batch % n == 0]
    for checkpointing, least in ((False, enough), (True, 1), (False, 1)):
        for n in sizes:
            choice = Training(n, checkpointing)
            if n >= min(least, sizes[0]) and _bytes(view, choice) <= most:
                return choice
    return Training(1, checkpointing=True)


def sentences(view: SimpleNamespace, choice: Training) -> Iterator[str]:
    """Tell what was decided, and why."""
    device, length = view.train.hardware.kind, sequence_length(view)
    batch, n = view.train.batch_size, choice.micro_batch
    useful = min(batch, max(1, MICRO_BATCH_TOKENS[device] // length))
    why = "the whole batch" if n == batch else f"it divides the batch of {batch}"
    larger = any(batch % k == 0 for k in range(n + 1, useful + 1))
    if n < useful and larger:
        why += ", no larger one fits"
    elif n < batch:
        why += f", {MICRO_BATCH_TOKENS[device]:,} tokens keep the device busy"
    yield f"micro-batch {n} of {length:,} tokens: {why}"
    if n < batch:
        yield f"gradients accumulate over {batch // n} micro-batches"
    if choice.checkpointing:
        yield "layers are computed again in the backward pass: otherwise too few would fit"


def _bytes(view: SimpleNamespace, choice: Training) -> int:
    return sum(item.bytes for item in ledger(view, choice)[1])
