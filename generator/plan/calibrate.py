"""Calibration of the cache: the exported model reads some text, its cache in floats."""

from leangen.generator.plan.budget import target_place
from leangen.generator.plan.ledger import MEASURED, MIB, Item, StagePlan, arrange
from leangen.generator.plan.parameters import Counts
from leangen.generator.plan.serve import activations, weights_of
from leangen.generator.plan.storage import Cache, cache_rows, kv_cache, resident
from leangen.spec import Spec

RUNTIME = 64 * MIB  # Python, numpy, onnxruntime and its session
TOKENS = 8192  # 4,096 lost no perplexity, 128 cost 1.2 percent (docs/results.md)
LENGTH = 512  # of them in a sequence, where the cache has as many rows


def plan_calibrate(spec: Spec, counts: Counts) -> StagePlan:
    """Plan the choice of the cache's scales."""
    rows = cache_rows(spec.model, spec.engine, spec.target.context)
    length = min(LENGTH, rows)
    return StagePlan(
        stage="calibrate",
        place=target_place(spec, "cpu"),
        ledger=arrange(_ledger(spec, counts, length)),
        moment="a sequence of the text",
        constants={"sequences": TOKENS // length, "length": length},
    )


def _ledger(spec: Spec, counts: Counts, length: int) -> list[Item]:
    floats = Cache(spec.model, spec.engine, bits=32)
    tables = 4 * spec.target.context * spec.model.head_dim
    what = "Python, numpy, onnxruntime, rotary tables"
    return [
        *resident(weights_of(spec, counts)),
        kv_cache(floats, spec.target.context, batch=1),
        activations(spec.model, length, element=4),
        Item("runtime", RUNTIME + tables, what, MEASURED),
    ]
