"""A sweep.json in which every figure is made up: no model was run, and none is like it."""

import math
from collections.abc import Iterator
from random import Random
from typing import Any

DENSE = 21.8  # perplexity of the model that there is not
WEIGHTS = 213_000_000  # of its matrices, and the bytes of what is in 16 bits always
OTHERS = 56_000_000
ROUNDING = {16: 0.0, 8: 0.002, 4: 0.09, 3: 0.42}  # nats that bits cost
PATTERNS = [("2:4", 0.5), ("4:8", 0.5)]
UNSTRUCTURED = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
STRUCTURED = [0.125, 0.25, 0.375, 0.5]


def loss_of(pattern: str, ratio: float, method: str, recovered: bool) -> float:
    """Make up what pruning costs, in nats."""
    if pattern == "dense":
        return 0.0
    if pattern == "structured":
        lost = 0.35 * ratio * 4 + 6 * ratio**3
    else:
        steep = {"wanda": 1.45, "sparsegpt": 1.0}[method]
        group = 1.7 if pattern == "2:4" else 1.25 if pattern == "4:8" else 1.0
        lost = steep * group * 0.02 * math.exp(6.2 * max(0.0, ratio - 0.1))
    return lost * (0.3 if recovered else 1.0)


def size_of(pattern: str, ratio: float, bits: int) -> int:
    """Make up what is stored: nothing is saved by zeros that stand anywhere."""
    scales = 0 if bits == 16 else 16 / 32
    each = bits + scales
    if pattern in ("2:4", "4:8"):
        each = bits * 0.5 + (1.0 if pattern == "2:4" else 1.2) + scales
    if pattern == "structured":
        each *= 1 - ratio
    return round(WEIGHTS * each / 8) + OTHERS


def variants() -> Iterator[dict[str, Any]]:
    """List what was not run: the dense models, then what was pruned."""
    for bits in ROUNDING:
        yield kind("dense", 0.0, "", False, bits)
    for pattern, ratio in PATTERNS:
        for bits in ROUNDING:
            yield kind(pattern, ratio, "sparsegpt", False, bits)
            yield kind(pattern, ratio, "sparsegpt", True, bits)
    for ratio in UNSTRUCTURED:
        yield kind("unstructured", ratio, "wanda", False, 16)
        yield kind("unstructured", ratio, "sparsegpt", False, 16)
        yield kind("unstructured", ratio, "sparsegpt", True, 16)
    for ratio in STRUCTURED:
        yield kind("structured", ratio, "wanda", False, 16)
        yield kind("structured", ratio, "wanda", True, 16)
    yield kind("structured", 0.25, "wanda", True, 8)
    yield kind("structured", 0.25, "wanda", True, 4)


def kind(
    pattern: str, ratio: float, method: str, recovered: bool, bits: int
) -> dict[str, Any]:
    found = {
        "pattern": pattern,
        "ratio": ratio,
        "recovered": recovered,
        "bits": bits,
        "group_size": 32,
        "rounding": "nearest",
        "kv_cache": 16,
    }
    return found | ({"method": method} if method else {})


def named(found: dict[str, Any]) -> str:
    pattern, ratio = found["pattern"], found["ratio"]
    parts = [pattern if ":" in pattern or not ratio else f"{pattern} {ratio:.3g}"]
    parts += [found["method"]] if "method" in found else []
    parts += ["recovered"] if found["recovered"] else []
    return ", ".join([*parts, f"{found['bits']} bits"])


def measured(found: dict[str, Any], random: Random) -> dict[str, Any]:
    pattern, ratio, bits = found["pattern"], found["ratio"], found["bits"]
    lost = loss_of(pattern, ratio, found.get("method", ""), found["recovered"])
    lost += ROUNDING[bits] * (1 + 0.6 * min(lost, 2))
    dense = pattern == "dense" and bits == 16
    error = 0.0 if dense else 0.003 + 0.02 * min(lost, 2)
    lost = 0.0 if dense else lost + random.gauss(0, error)
    fragile = 0.0 if dense else 0.16 * min(max(lost, 0), 2.5) + random.gauss(0, 0.01)
    stored = size_of(pattern, ratio, bits)
    speed = 98 * (size_of("dense", 0, 16) / stored) ** 0.7
    speed *= 0.92 if pattern in ("2:4", "4:8") else 1.0
    same = max(0.04, math.exp(-0.9 * math.sqrt(max(lost, 0))))
    divergence = 0.9 * max(lost, 0) + (0 if dense else 0.002)
    beside = {
        text: {
            "kl_divergence": divergence,
            "kl_divergence_99": 9 * divergence,
            "same_top": same,
            "same_top_interval": [same - 0.006 * (not dense), min(1.0, same + 0.006)],
            "loss_difference": more,
            "loss_difference_error": error,
            "distinguishable": abs(more) > 1.96 * error,
        }
        for text, more in (("test", lost), ("out_of_sample", lost + fragile))
    }
    return {
        "file_bytes": stored,
        "memory_bytes": round(stored * 1.08) + 410_000_000,
        "perplexity": {
            "train": 0.93
            * DENSE
            * math.exp(lost * (0.9 if found["recovered"] else 1.0)),
            "test": DENSE * math.exp(lost),
            "out_of_sample": 1.7 * DENSE * math.exp(lost + fragile),
        },
        "windowed_perplexity": 1.04 * DENSE * math.exp(lost),
        "beside_dense": beside,
        "prefill_tokens_per_second": 9000 + 10 * speed,
        "decode_tokens_per_second": speed,
        "speeds": {
            context: {
                "prefill": [8800.0, 9000.0 + 10 * speed, 9300.0 + 10 * speed],
                "decode": [speed * slow * 0.97, speed * slow, speed * slow * 1.02],
            }
            for context, slow in (("128", 1.0), ("2048", 0.93))
        },
        "first_token_seconds": 0.2,
    }


def synthetic() -> dict[str, Any]:
    """Make the document up: always the same one."""
    random = Random(0)
    rows = []
    for place, found in enumerate(variants()):
        changes = {
            "sparsity.pattern": found["pattern"],
            "quantization.weights": found["bits"],
        }
        changes |= {
            "sparsity.ratio": found["ratio"],
            "sparsity.recover": found["recovered"],
        }
        changes |= {"sparsity.method": found.get("method", "")}
        stored = size_of(found["pattern"], found["ratio"], found["bits"])
        rows.append(
            {
                "name": named(found),
                "slug": f"v{place}",
                "changes": changes,
                "is": found,
                "seed": 0,
                "baseline": place == 0,
                "state": "done",
                "stages": {
                    "evaluate": {
                        "seconds": 20.0,
                        "planned_bytes": 2**30,
                        "measured_bytes": 2**30 + 5,
                    }
                },
                "seconds": 31.0 + place,
                "planned": {
                    "file_bytes": stored,
                    "memory_bytes": round(stored * 1.1) + 400_000_000,
                    "tokens_per_second": [60.0, 140.0],
                },
                "measured": measured(found, random),
            }
        )
    return {
        "format_version": 1,
        "name": "synthetic",
        "axes": {
            "sparsity.pattern": ["dense", "2:4"],
            "quantization.weights": [16, 8, 4, 3],
        },
        "budget_bytes": 900_000_000,
        "gates": {"perplexity_ratio": 1.25},
        "context": 2048,
        "hardware": "h200",
        "instrument": "no instrument: these figures are made up",
        "machine": {"processor": "none", "cores": 2},
        "tokens": {"test": 65536, "out_of_sample": 30000},
        "variants": rows + ended(),
    }


def ended() -> list[dict[str, Any]]:
    """Make up what did not end well."""
    failed = {
        "state": "failed",
        "why": "recover: the loss is not finite: lower the learning rate",
    }
    refused = {
        "state": "refused",
        "why": "export: no kernel for 3 bits & <2:4>",
        "measured": {},
    }
    rows: list[dict[str, Any]] = [
        {"is": kind("unstructured", 0.9, "sparsegpt", True, 16)} | failed,
        {"is": kind("2:4", 0.5, "wanda", False, 3)} | refused,
        {"is": kind("4:8", 0.5, "wanda", False, 3)} | refused,
        {"is": kind("structured", 0.75, "wanda", False, 3)} | refused,
    ]
    for place, row in enumerate(rows):
        row |= {"name": named(row["is"]), "slug": f"e{place}", "changes": row["is"]}
        row |= {"seed": 0, "baseline": False, "planned": {"memory_bytes": 2**30}}
    return rows
