"""For each field the values that take less, or give more room: from the nearest to the farthest."""

from collections.abc import Sequence
from typing import Any

from leangen.generator.plan.ledger import GIB, MIB
from leangen.spec import Hardware, Spec, machines

STEP = 1024  # tokens of context between two that are tried, 16 below it
GROUP_SIZES = (32, 64, 128, 256)
HALVINGS = 16  # of a batch that are tried

Ladder = Sequence[Any]


def serving_ladders(spec: Spec) -> dict[str, Ladder]:
    """List what makes a server smaller, and its memory larger."""
    engine, target, bits = spec.engine, spec.target, spec.quantization.weights
    grouped = bits < 16 and not engine.group_size
    groups = [g for g in GROUP_SIZES if g > spec.quantization.group_size]
    patterns = [p for p, able in engine.patterns.items() if bits in able]
    given = target.budget_given
    return {
        "target.context": shorter(target.context),
        "target.batch": range(target.batch - 1, 0, -1),
        "quantization.group_size": groups if grouped else (),
        "quantization.kv_cache": _fewer(engine.kv_cache, spec.quantization.kv_cache),
        "quantization.weights": _fewer(engine.weights, bits),
        "sparsity.pattern": patterns if spec.sparsity.pattern == "dense" else (),
        "target.vram_budget": _budgets(spec) if given else (),
        "target.hardware": () if given else _larger(target.hardware),
    }


def training_ladders(spec: Spec) -> dict[str, Ladder]:
    """List what makes training smaller, and its memory larger.

    Other hardware to train on comes before another target: that is where the model is meant
    to go.
    """
    model, recover, train = spec.model, spec.sparsity.recover, spec.train
    lengths = shorter(model.max_position_embeddings)
    served = [tokens for tokens in lengths if tokens >= spec.target.context]
    here = train.hardware == spec.target.hardware
    given = here and spec.target.budget_given
    return {
        "train.batch_size": _halves(train.batch_size),
        "train.precision": ["bf16"] if train.precision == "float32" else (),
        "sparsity.recover.distill": [False] if recover and recover.distill else (),
        "sparsity.recover.scope": []
        if not recover or recover.by_layers or model.num_experts
        else ["layers"],
        "model.max_position_embeddings": () if model.pretrained else served,
        "target.context": shorter(spec.target.context) if model.pretrained else (),
        "target.vram_budget": _budgets(spec) if given else (),
        "train.hardware": _larger(train.hardware),
        "target.hardware": _larger(spec.target.hardware) if here else (),
    }


def shorter(tokens: int) -> list[int]:
    """List shorter lengths: multiples of 1,024, then of 16."""
    long = range((tokens - 1) // STEP * STEP, 0, -STEP)
    short = range((min(tokens, STEP) - 1) // 16 * 16, 0, -16)
    return [*long, *short]


def _halves(batch: int) -> Ladder:
    halves = [batch >> n for n in range(1, HALVINGS + 1)]
    return [n for n in halves if n]


def _fewer(able: Sequence[int], bits: int) -> Ladder:
    """List fewer bits, down to 4: what loses as much as 2 is for who asks for it."""
    return sorted((n for n in able if 4 <= n < bits), reverse=True)


def _budgets(spec: Spec) -> Ladder:
    """Larger budgets on the same hardware: multiples of 64 MiB, above 4 GiB of 1 GiB."""
    most = spec.target.hardware.usable_bytes
    steps = [*range(64 * MIB, 4 * GIB, 64 * MIB), *range(4 * GIB, most + 1, GIB)]
    return [step for step in steps if spec.target.vram_budget < step <= most]


def _larger(hardware: Hardware) -> Ladder:
    """Hardware of the same kind with more memory, the least of it first."""
    rows = [row for row in machines().values() if row.kind == hardware.kind]
    more = [row for row in rows if row.usable_bytes > hardware.usable_bytes]
    return [row.id for row in sorted(more, key=lambda row: row.usable_bytes)]
