"""Planned against measured peak memory, of models that the plan was not fitted to.

    python benchmarks/peaks.py FOLDER NAME...     such as: peaks.py /tmp/peaks w1 n2

Builds each model's scripts in the folder, fills in random tokens, runs them for a few
steps, and prints what artifacts/ledger.json says. Names that start with w are for a CPU
and run to the export; the others need one H200 each, which nothing else uses.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import loads

SPEC = """
leangen: 1
name: {name}
model:
  architecture: llama
  hidden_size: {0}
  intermediate_size: {1}
  num_hidden_layers: {2}
  num_attention_heads: {3}
  num_key_value_heads: {4}
  max_position_embeddings: {5}
  tie_word_embeddings: {6}
tokenizer: {7}
train: {{tokens: {tokens}, batch_size: {8}, precision: {9}}}
sparsity: {{{10}, recover: {{tokens: {tokens}, distill: {11}}}}}
quantization: {{weights: {12}}}
target: {{hardware: {13}, context: {5}}}
"""
NM, RATIO = "pattern: 2:4", "pattern: unstructured, ratio: 0.5"
BUDGET = "h200, vram_budget: {}"
B, F, T, N = "bf16", "float32", "true", "false"
CPU = "x86-avx512"
MODELS: dict[str, tuple[Any, ...]] = {
    "r1": (320, 864, 8, 5, 5, 512, T, 8192, 128, B, NM, N, 8, "h200"),
    "r2": (320, 864, 8, 5, 5, 512, T, 8192, 128, B, NM, N, 8, BUDGET.format("1500MiB")),
    "r3": (512, 1408, 8, 8, 2, 1024, T, 16384, 64, B, NM, T, 8, "h200"),
    "r4": (768, 2048, 12, 12, 12, 1024, N, 50304, 64, B, RATIO, T, 8, "h200"),
    "r5": (
        768,
        2048,
        12,
        12,
        12,
        1024,
        N,
        50304,
        64,
        B,
        NM,
        N,
        8,
        BUDGET.format("5GiB"),
    ),
    "r6": (1024, 2816, 24, 16, 16, 1024, N, 32000, 32, B, NM, N, 8, "h200"),
    "r7": (
        1024,
        2816,
        24,
        16,
        16,
        1024,
        N,
        32000,
        32,
        B,
        NM,
        T,
        8,
        BUDGET.format("13GiB"),
    ),
    "r8": (1536, 4096, 24, 16, 4, 2048, N, 32000, 8, B, NM, N, 8, "h200"),
    "r9": (2048, 5632, 22, 32, 8, 1024, N, 32000, 8, B, NM, N, 8, "h200"),
    "r10": (
        2048,
        5632,
        22,
        32,
        8,
        2048,
        N,
        32000,
        8,
        B,
        NM,
        N,
        8,
        BUDGET.format("25GiB"),
    ),
    "r11": (512, 1408, 8, 8, 8, 1024, T, 16384, 16, F, NM, N, 8, "h200"),
    "r12": (512, 1408, 8, 8, 2, 512, T, 16384, 16, F, NM, N, 8, "h200"),
    "n1": (
        896,
        2432,
        18,
        14,
        2,
        1024,
        T,
        24576,
        32,
        B,
        NM,
        T,
        8,
        BUDGET.format("9GiB"),
    ),
    "n2": (640, 1728, 14, 10, 10, 2048, N, 24576, 16, B, NM, N, 8, "h200"),
    "n3": (320, 864, 8, 5, 5, 512, T, 8192, 32, B, NM, N, 8, "h200"),
    "w1": (256, 768, 6, 4, 2, 256, N, 0, 16, F, NM, T, 8, CPU),
    "w2": (320, 896, 10, 5, 5, 512, T, 2048, 4, F, NM, N, 16, CPU),
    "w3": (448, 1280, 8, 7, 7, 512, N, 4096, 4, F, RATIO, N, 4, CPU),
}


def prepare(folder: Path, name: str) -> None:
    """Write a model's scripts, and random tokens where its text would be."""
    shape = list(MODELS[name])
    batch, length = shape[8], shape[5]
    assert isinstance(batch, int) and isinstance(length, int)
    tokens = 3 * batch * length
    shape[7] = f"{{bpe: {shape[7]}}}" if shape[7] else "bytes"
    spec = loads(SPEC.format(*shape, name=name, tokens=tokens))
    (folder / "artifacts" / "data").mkdir(parents=True, exist_ok=True)
    for file, text in build(spec, plan(spec)).items():
        (folder / file).write_text(text)
    random = np.random.default_rng(0)
    for split, count in (("train", 3_000_000), ("val", 200_000)):
        ids = random.integers(min(256, spec.tokenizer.vocab_size), size=count)
        np.save(folder / "artifacts" / "data" / f"{split}.npy", ids.astype(np.uint16))


def main() -> None:
    root, names = Path(sys.argv[1]), sys.argv[2:]
    for name in names:
        prepare(root / name, name)
        stages = ["train", "prune", "recover"] + ["export"] * name.startswith("w")
        for stage in stages:
            command = [sys.executable, f"{stage}.py"]
            done = subprocess.run(
                command, check=False, cwd=root / name, stdout=subprocess.DEVNULL
            )
            done.check_returncode()
        ledger = json.loads((root / name / "artifacts" / "ledger.json").read_text())
        for stage, row in ledger.items():
            planned, measured = row["planned_bytes"], row["measured_bytes"]
            sizes = f"measured {measured / 2**20:,.0f} planned {planned / 2**20:,.0f}"
            print(
                f"{name} {stage:8} {sizes} MiB {planned / measured - 1:+.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
