"""Pruning and GPTQ of the generated scripts beside the authors' code, on one GPU.

    git clone https://github.com/IST-DASLab/sparsegpt
    git clone https://github.com/locuslab/wanda
    git clone https://github.com/IST-DASLab/gptq
    python benchmarks/methods.py MODEL CALIBRATION TEST... \\
        --sparsegpt sparsegpt --wanda wanda --gptq gptq [--rows sparsegpt:2:4 wanda:0.5 ...]

MODEL is a Hugging Face folder of a Llama, such as docs/smollm2.py makes; CALIBRATION and
TEST are texts. A row is METHOD:N:M (N of M stay), METHOD:RATIO (so many go) or
gptq:BITS:GROUP. No engine has 3 bits, and the spec refuses them: they are written into
the scripts for 4. Both read the same sequences, which lie evenly in CALIBRATION.

Ours is `prune.py` or `quantize.py` in a folder that leangen builds. Its seconds are the
ledger's, from reading to the last file, and those of its function that goes through the
layers, which reads and writes them; its memory is what torch allocated, and in all, with
CUDA's own, what the ledger says: true of a GPU that nothing else uses. Theirs is
`prune_wanda`, or their class in the loop of their llama.py, with the calls of transformers
5, in float16, without loading (authors.py); memory is what torch allocated, the model's
included where it lies there whole (Wanda). Perplexity: quality.py. `--device cpu` is a
rehearsal: torch counts no memory there.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leangen.benchmarks.authors import theirs
from leangen.benchmarks.quality import WINDOWS, checkpoint_quality

ROWS = (
    *(f"sparsegpt:{zeros}" for zeros in ("2:4", "4:8", "0.3", "0.5", "0.7")),
    *(f"wanda:{zeros}" for zeros in ("2:4", "4:8", "0.5")),
    *(f"gptq:{grid}" for grid in ("8:32", "4:64", "4:32", "3:32", "2:32")),
)
SEQUENCES, LENGTH = 128, 2_048
SPEC = """\
leangen: 1
name: {name}
model: {{checkpoint: {model}}}
data: {{source: text, path: {here}/calibration.txt, calibration: {here}/calibration.txt}}
sparsity: {sparsity}
quantization: {quantization}
train: {{precision: {precision}}}
target: {{hardware: {hardware}, context: {length}{budget}}}
serve: {{device: cpu}}
"""
DENSE, FLOATS = "{pattern: dense}", "{weights: 16}"
PRUNED = "{{{zeros}, method: {method}, calibration_sequences: {sequences}}}"
ROUNDED = "{{weights: {bits}, group_size: {group}, method: gptq, calibration_sequences: {sequences}}}"
RUN = """
import importlib, sys, time, torch
stage = sys.argv.pop()
sys.argv[0] = f"{stage}.py"  # by which a script knows itself
sys.path.insert(0, "")
script = importlib.import_module(stage)
part = "prune_layers" if hasattr(script, "prune_layers") else "fit_checkpoint"
work = getattr(script, part)

def timed(*given):
    torch.cuda.is_available() and torch.zeros(1, device="cuda")  # CUDA's start is not counted
    started = time.perf_counter()
    work(*given)
    took.append(time.perf_counter() - started)

took = []
setattr(script, part, timed)
script.run(script.main)
print(*took, torch.cuda.max_memory_allocated())
"""
HEAD = (
    "| | ours: perplexity | zeros | s | layers s | MiB | in all "
    "| theirs: perplexity | zeros | s | MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def main() -> None:
    asked = read_arguments()
    if asked.device == "cpu":  # what the authors' code and this call all the same
        torch.cuda.synchronize = torch.cuda.reset_peak_memory_stats = lambda *_: None
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        build(asked, here)
        # All of ours first: a process that computes here would be counted with them.
        took = {row: ours(here, row) for row in asked.rows}
        calibration = sequences(asked, here)
        dense, _ = checkpoint_quality(asked, asked.model)
        print(f"dense: {dense}\n\n{HEAD}", flush=True)
        for row in asked.rows:
            found = checkpoint_quality(asked, checkpoint(here, row))
            cells = [row, *found, *took[row], *theirs(asked, row, calibration)]
            print(f"| {' | '.join(cells)} |", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ours beside the authors' code.")
    parser.add_argument("model", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("test", type=Path, nargs="+")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    for method in ("sparsegpt", "wanda", "gptq"):
        parser.add_argument(f"--{method}", type=Path, help="the authors' repository")
    parser.add_argument("--hardware", default="h200")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", help="target.vram_budget, such as 1.5GiB")
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS)
    asked = parser.parse_args()
    for method in {row.partition(":")[0] for row in asked.rows}:
        if not getattr(asked, method):
            parser.error(f"--{method} is missing: where its authors' code is")
    return asked


def build(asked: argparse.Namespace, here: Path) -> None:
    """Build a folder a row; the first one's data.py makes the tokens of all."""
    shutil.copyfile(asked.calibration, here / "calibration.txt")
    names = [name_of(row) for row in asked.rows]
    for row, name in zip(asked.rows, names, strict=True):
        (here / f"{name}.yaml").write_text(spec(asked, here, row))
    call = [sys.executable, "-c", "from leangen.cli import main; main()", "build"]
    call += [f"{name}.yaml" for name in names]
    subprocess.run(call, cwd=here, check=True, stdout=subprocess.DEVNULL)
    first, *others = (here / "generated" / name for name in names)
    subprocess.run([sys.executable, "data.py"], cwd=first, check=True)
    for other in others:
        shutil.copytree(first / "artifacts", other / "artifacts", dirs_exist_ok=True)
    for row, name in zip(asked.rows, names, strict=True):
        if row.startswith("gptq:3:"):
            rounding = here / "generated" / name / "rounding.py"
            before, behind = rounding.read_text().split("\nBITS = 4 ")
            rounding.write_text(f"{before}\nBITS = 3 {behind}")


def name_of(row: str) -> str:
    return row.replace(":", "-").replace(".", "-")


def spec(asked: argparse.Namespace, here: Path, row: str) -> str:
    method, _, how = row.partition(":")
    sparsity, quantization = DENSE, FLOATS
    if method == "gptq":
        bits, group = how.split(":")
        bits = "4" if bits == "3" else bits
        quantization = ROUNDED.format(bits=bits, group=group, sequences=asked.sequences)
    else:
        zeros = f"pattern: unstructured, ratio: {how}"
        zeros = f"pattern: '{how}'" if ":" in how else zeros
        sparsity = PRUNED.format(zeros=zeros, method=method, sequences=asked.sequences)
    return SPEC.format(
        name=name_of(row),
        model=asked.model.resolve(),
        here=here,
        sparsity=sparsity,
        quantization=quantization,
        precision="float32" if asked.device == "cpu" else "bf16",
        hardware=asked.hardware,
        length=asked.length,
        budget=f", vram_budget: {asked.budget}" if asked.budget else "",
    )


def ours(here: Path, row: str) -> list[str]:
    """Run a folder's script: its seconds, MiB that torch allocated, and MiB in all."""
    folder = here / "generated" / name_of(row)
    stage = "quantize" if row.startswith("gptq") else "prune"
    call = [sys.executable, "-c", RUN, stage]
    done = subprocess.run(
        call, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    *_, shown, measured = done.stdout.splitlines()
    print(f"{row}: {shown}", flush=True)
    layers, allocated = map(float, measured.split())
    took = json.loads((folder / "artifacts" / "ledger.json").read_text())[stage]
    seconds, sizes = (took["seconds"], layers), (allocated, took["measured_bytes"])
    cells = [f"{value:.1f}" for value in seconds]
    return [*cells, *(f"{size / 2**20:,.0f}" for size in sizes)]


def checkpoint(here: Path, row: str) -> Path:
    made = "quantized" if row.startswith("gptq") else "sparse"
    return here / "generated" / name_of(row) / "artifacts" / made


def sequences(asked: argparse.Namespace, here: Path) -> Tensor:
    """Read what the scripts read: (N, T), of the tokens that data.py wrote."""
    folder = here / "generated" / name_of(asked.rows[0]) / "artifacts" / "data"
    tokens = torch.from_numpy(np.load(folder / "calibration.npy").astype(np.int64))
    last = len(tokens) - asked.length - 1
    starts = np.linspace(0, last, asked.sequences, dtype=int)
    return torch.stack([tokens[start : start + asked.length] for start in starts])


if __name__ == "__main__":
    main()
