"""What pruning loses of a checkpoint, what recovery brings back, and what that takes.

    python benchmarks/recovery.py MODEL TRAIN CALIBRATION TEST... [--rows "2:4" "half of the channels" ...]

MODEL is a Hugging Face folder of a Llama, such as docs/smollm2.py makes; the others are
texts: to recover on, to calibrate on, to measure on. Each row is a folder that leangen
builds, of which data.py, prune.py and recover.py run. Perplexity is transformers', in
float32 (quality.py); seconds and MiB are the scripts' own. Rows may run as
several processes on one GPU: then their seconds say little, and their MiB nothing.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from leangen.benchmarks.quality import WINDOWS, checkpoint_quality

SPEC = """\
leangen: 1
name: row-{number}
model: {{checkpoint: {model}}}
data: {{source: text, path: {here}/train.txt, calibration: {here}/calibration.txt}}
sparsity: {{{sparsity}, calibration_sequences: {sequences}, recover: {{{recovery}}}}}
quantization: {{weights: 16}}
train: {{{precision}batch_size: {batch}, hardware: {hardware}}}
target: {{hardware: {hardware}, context: {length}}}
serve: {{device: cpu}}
"""
WHOLE = "tokens: {tokens}, learning_rate: 3e-4, distill: true"
BY_LAYERS = "scope: layers, tokens: {layer_tokens}, learning_rate: 0.03"
TWO_OF_FOUR, MOST = (
    "pattern: '2:4', method: sparsegpt",
    "pattern: unstructured, ratio: 0.7, method: sparsegpt",
)
ROWS = {
    "an eighth of the channels": ("pattern: structured, ratio: 0.125", WHOLE),
    "a quarter of the channels": ("pattern: structured, ratio: 0.25", WHOLE),
    "half of the channels": ("pattern: structured, ratio: 0.5", WHOLE),
    "a third of the heads": ("pattern: structured, heads: 0.34", WHOLE),
    "a tenth of the layers": ("pattern: structured, layers: 0.1", WHOLE),
    "a fifth of the layers": ("pattern: structured, layers: 0.2", WHOLE),
    "2:4": (TWO_OF_FOUR, WHOLE),
    "2:4, by layers": (TWO_OF_FOUR, BY_LAYERS),
    "70%": (MOST, WHOLE),
    "70%, in 4 steps": (f"{MOST}, steps: 4", WHOLE),
}
HEAD = """
| | pruned | seconds | recovered | seconds | MiB | planned |
|---|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    asked = read_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        shutil.copyfile(asked.train, here / "train.txt")
        shutil.copyfile(asked.calibration, here / "calibration.txt")
        print(f"dense: {checkpoint_quality(asked, asked.model)[0]}\n{HEAD}", flush=True)
        data = None
        for number, row in enumerate(asked.rows):
            folder = build(asked, here, number, row)
            if data:
                shutil.copytree(data, folder / "artifacts", dirs_exist_ok=True)
            else:
                run(folder, "data")
                data = shutil.copytree(folder / "artifacts", here / "data")
            print(f"| {' | '.join([row, *figures(asked, folder)])} |", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What recovery brings back.")
    for text in ("model", "train", "calibration"):
        parser.add_argument(text, type=Path)
    parser.add_argument("test", type=Path, nargs="+")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--tokens", default="7M")
    parser.add_argument("--layer-tokens", default="262k")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hardware", default="h200")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--length", type=int, default=2_048)
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS)
    return parser.parse_args()


def build(asked: argparse.Namespace, here: Path, number: int, row: str) -> Path:
    sparsity, recovery = ROWS[row]
    page = SPEC.format(
        number=number,
        model=asked.model.resolve(),
        here=here,
        sparsity=sparsity,
        sequences=asked.sequences,
        recovery=recovery.format(tokens=asked.tokens, layer_tokens=asked.layer_tokens),
        precision="" if asked.device == "cpu" else "precision: bf16, ",
        batch=asked.batch,
        hardware=asked.hardware,
        length=asked.length,
    )
    (here / f"row-{number}.yaml").write_text(page)
    call = [sys.executable, "-c", "from leangen.cli import main; main()", "build"]
    call += [f"row-{number}.yaml"]
    subprocess.run(call, cwd=here, check=True, stdout=subprocess.DEVNULL)
    return here / "generated" / f"row-{number}"


def run(folder: Path, stage: str) -> dict[str, float]:
    """Run a stage; return what it noted of itself."""
    call = [sys.executable, f"{stage}.py"]
    subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    took: dict[str, float] = json.loads(
        (folder / "artifacts" / "ledger.json").read_text()
    )[stage]
    return took


def figures(asked: argparse.Namespace, folder: Path) -> list[str]:
    """Prune and recover: perplexities, seconds, and the recovery's memory beside the plan."""
    cells = []
    for stage, made in (("prune", ("pruned", "sparse")), ("recover", ("recovered",))):
        took = run(folder, stage)
        (checkpoint,) = (
            path for name in made if (path := folder / "artifacts" / name).is_dir()
        )
        found, _ = checkpoint_quality(asked, checkpoint)
        cells += [found, f"{took['seconds']:.1f}"]
    sizes = took["measured_bytes"], took["planned_bytes"]
    return [*cells, *(f"{size / 2**20:,.0f}" for size in sizes)]


if __name__ == "__main__":
    main()
