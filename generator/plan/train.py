"""Training: how many sequences at once, what is recomputed, and how long it takes."""

from collections.abc import Iterator

from leangen.generator.plan.ledger import GIB, StagePlan
from leangen.generator.plan.parameters import Counts, count
from leangen.generator.plan.rates import ARITHMETIC, Seconds, over
from leangen.generator.plan.step import Step, Training, training_of
from leangen.generator.plan.train_memory import ledger
from leangen.spec import Spec
from leangen.spec.spec import Model

# Tokens at once: more is hardly faster. 131,072 gave 4 percent more than 32,768 on an H200
# (torch 2.11), and took 3.6 times the memory (docs/decisions.md).
USEFUL_TOKENS = {"cpu": 16_384, "cuda": 65_536}
# Of one copy of the logits, at most: chosen. 65,536 tokens of the 49,152 words of SmolLM2
# take 6 GiB, and as much again for a teacher's; a quarter of them keeps a GPU busy, too.
LOGITS_BYTES = 2 * GIB
# Chosen: with fewer, layers are recomputed. 8,192 keep an H200 busy.
ENOUGH_TOKENS = {"cpu": 1_024, "cuda": 8_192}


def plan_train(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the training: from scratch, or of given weights."""
    return plan_training("train", training_of(spec, counts, recover=None))


def plan_training(stage: str, training: Training) -> StagePlan:
    """Plan a stage that trains."""
    step = decide(training)
    moment, held = ledger(step)
    return StagePlan(
        stage=stage,
        place=training.place,
        ledger=held,
        moment=moment,
        seconds=_seconds(step),
        decisions=tuple(_sentences(step)),
        constants={
            "device": training.place.device,
            "micro_batch": step.micro_batch,
            "checkpointing": step.checkpointing,
        },
    )


def decide(training: Training) -> Step:
    """Choose the most sequences at once that divide the batch, help and fit.

    Layers are recomputed only where fewer sequences than keep the device busy would fit
    without: recomputing costs a third more arithmetic, small micro-batches cost less.
    """
    useful = _useful(training)
    least = -(-ENOUGH_TOKENS[training.place.device] // training.length)
    batch = training.batch_size
    sizes = [n for n in range(useful, 0, -1) if batch % n == 0]
    enough = min(useful, least, sizes[0])
    for checkpointing, fewest in ((False, enough), (True, 1), (False, 1)):
        for n in sizes:
            step = Step(training, n, checkpointing)
            if n >= fewest and _fits(step):
                return step
    return Step(training, 1, checkpointing=True)


def _useful(training: Training) -> int:
    """Sequences at once of which more would hardly be faster."""
    most = min(USEFUL_TOKENS[training.place.device], _in_logits(training))
    return min(training.batch_size, max(1, most // training.length))


def _in_logits(training: Training) -> int:
    """Tokens whose logits are not too large for what they gain."""
    return LOGITS_BYTES // (training.element * training.model.vocab_size)


def _fits(step: Step) -> bool:
    budget = step.training.place.budget_bytes
    return budget is None or sum(item.bytes for item in ledger(step)[1]) <= budget


def _sentences(step: Step) -> Iterator[str]:
    """Tell what was decided, and why."""
    training, n = step.training, step.micro_batch
    batch, useful = training.batch_size, _useful(training)
    why = "the whole batch" if n == batch else f"it divides the batch of {batch}"
    larger = any(batch % k == 0 for k in range(n + 1, useful + 1))
    if n < useful and larger:
        why += ", no larger one fits"
    elif n < batch:
        tokens = USEFUL_TOKENS[training.place.device]
        busy = f"{tokens:,} tokens keep the device busy"
        large = f"the logits of more take over {LOGITS_BYTES // GIB} GiB"
        why += f", {large if _in_logits(training) < tokens else busy}"
    yield f"micro-batch {n} of {training.length:,} tokens: {why}"
    if n < batch:
        yield f"gradients accumulate over {batch // n} micro-batches"
    if step.checkpointing:
        yield "layers are computed again in the backward pass: otherwise too few would fit"


def _seconds(step: Step) -> Seconds:
    """Six operations a weight and token, eight where layers are computed again.

    Source: Kaplan et al., 2020, arXiv:2001.08361; attention's products besides, and a
    forward pass of the teacher.
    """
    training, hardware = step.training, step.training.place.hardware
    passes = 4 if step.checkpointing else 3
    bf16 = training.precision == "bf16"
    rate = hardware.flops_bf16 if bf16 else hardware.flops_float32
    work = passes * _forward(training.model, training.length)
    if training.teacher:
        work += _forward(training.teacher, training.length)
    return over(work * training.tokens, rate, ARITHMETIC[hardware.kind])


def _forward(model: Model, length: int) -> int:
    """Operations of a forward pass for each token of sequences of a length."""
    counts = count(model)
    attention = 2 * length * model.num_attention_heads * model.head_dim
    products = 2 * (counts.active + counts.embedding)
    return products + model.num_hidden_layers * attention
