"""SparseGPT and GPTQ of the generated scripts beside the authors' code, on one GPU.

    git clone https://github.com/IST-DASLab/sparsegpt
    git clone https://github.com/IST-DASLab/gptq
    python benchmarks/methods.py MODEL CALIBRATION TEST --sparsegpt sparsegpt --gptq gptq

MODEL is a Hugging Face folder of a Llama, such as docs/smollm2.py makes; CALIBRATION and
TEST are texts. Both read the same sequences, which lie evenly in CALIBRATION. Ours is
`python prune.py` or `quantize.py` in a folder that leangen builds, theirs their class in
the loop of their llama.py with the calls of transformers 5, in float16. Perplexity is
transformers', in float32, on windows of 2,048 tokens that do not overlap.
"""

import argparse
import importlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

SEQUENCES, LENGTH = 128, 2_048
SPEC = """\
leangen: 1
name: bench
model: {{checkpoint: {model}}}
data: {{source: text, path: {texts}/test.txt, calibration: {texts}/calibration.txt}}
sparsity: {sparsity}
quantization: {quantization}
train: {{precision: bf16}}
target: {{hardware: {hardware}, context: {length}}}
serve: {{device: cpu}}
"""
DENSE, FLOATS = "{pattern: dense}", "{weights: 16}"
PRUNED = "{{pattern: '2:4', method: sparsegpt, calibration_sequences: {}}}"
ROUNDED = "{{weights: 4, group_size: {}, method: gptq, calibration_sequences: {}}}"


def main() -> None:
    asked = read_arguments()
    print("| | ours: perplexity | s | MiB | theirs: perplexity | s | MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, group in (("SparseGPT 2:4", 0), ("GPTQ 64", 64), ("GPTQ 32", 32)):
        with tempfile.TemporaryDirectory() as here:
            rows = ours(asked, Path(here), group), theirs(asked, group)
        figures = " | ".join(f"{p:.3f} | {s:.1f} | {m:,.0f}" for p, s, m in rows)
        print(f"| {name} | {figures} |", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ours beside the authors' code.")
    parser.add_argument("model", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--sparsegpt", type=Path, required=True)
    parser.add_argument("--gptq", type=Path, required=True)
    parser.add_argument("--hardware", default="h200")
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    parser.add_argument("--length", type=int, default=LENGTH)
    return parser.parse_args()


def ours(asked: argparse.Namespace, here: Path, group: int) -> tuple[float, ...]:
    """Build a folder and run its script: perplexity, seconds and MiB, CUDA's own included."""
    shutil.copyfile(asked.calibration, here / "calibration.txt")
    shutil.copyfile(asked.test, here / "test.txt")
    page = SPEC.format(
        model=asked.model.resolve(),
        texts=here,
        sparsity=DENSE if group else PRUNED.format(asked.sequences),
        quantization=ROUNDED.format(group, asked.sequences) if group else FLOATS,
        hardware=asked.hardware,
        length=asked.length,
    )
    (here / "bench.yaml").write_text(page)
    call = [sys.executable, "-c", "from leangen.cli import main; main()"]
    subprocess.run([*call, "build", "bench.yaml"], cwd=here, check=True)
    folder, stage = here / "generated" / "bench", "quantize" if group else "prune"
    for script in ("data.py", f"{stage}.py"):
        subprocess.run([sys.executable, script], cwd=folder, check=True)
    row = json.loads((folder / "artifacts" / "ledger.json").read_text())[stage]
    made = folder / "artifacts" / ("quantized" if group else "sparse")
    found = perplexity(asked, load(made, torch.float32))
    return found, row["seconds"], row["measured_bytes"] / 2**20


def theirs(asked: argparse.Namespace, group: int) -> tuple[float, ...]:
    """Run the authors' class: perplexity, and the function's own seconds and MiB of tensors."""
    model = load(asked.model, torch.float16).to("cpu")
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    with torch.no_grad():
        work(asked, model, group)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**20
    return perplexity(asked, model.float().to("cuda")), seconds, peak


def work(asked: argparse.Namespace, model: Any, group: int) -> None:
    """Go through the layers as their llama.py does: measure, change, and run once more."""
    tokens = read_tokens(asked, asked.calibration)
    last = len(tokens) - asked.length - 1
    starts = np.linspace(0, last, asked.sequences, dtype=int)
    rows = torch.stack([tokens[start : start + asked.length] for start in starts])
    embed = model.model.embed_tokens.to("cuda")
    inputs = torch.cat([embed(row[None].to("cuda")) for row in rows])
    embed.to("cpu")
    places = torch.arange(asked.length, device="cuda")[None]
    angles = model.model.rotary_emb.to("cuda")(inputs[:1], places)
    outputs = torch.zeros_like(inputs)

    def run(layer: nn.Module) -> None:
        for j in range(len(inputs)):
            made = layer(inputs[j : j + 1], None, places, position_embeddings=angles)
            outputs[j] = made[0] if isinstance(made, tuple) else made.squeeze(0)

    for layer in model.model.layers:
        layer.to("cuda")
        named = layer.named_modules()
        methods = {
            name: method_of(asked, matrix, group)
            for name, matrix in named
            if isinstance(matrix, nn.Linear)
        }
        hooks = [
            method.layer.register_forward_hook(seen(method))
            for method in methods.values()
        ]
        run(layer)
        for hook in hooks:
            hook.remove()
        for method in methods.values():
            if group:
                method.fasterquant(groupsize=group)
            else:
                method.fasterprune(0.5, prunen=2, prunem=4)
            method.free()
        run(layer)
        layer.to("cpu")
        torch.cuda.empty_cache()
        inputs, outputs = outputs, inputs


def seen(method: Any) -> Any:
    return lambda _, inputs, output: method.add_batch(inputs[0].data, output.data)


def method_of(asked: argparse.Namespace, matrix: nn.Linear, group: int) -> Any:
    """Make an instance of the authors' class for a matrix."""
    folder = asked.gptq if group else asked.sparsegpt
    for name in ("quant", "sparsegpt", "gptq"):  # both have a module of this name
        known = sys.modules.get(name)
        if known and Path(str(known.__file__)).parent != folder.resolve():
            del sys.modules[name]
    sys.path.insert(0, str(folder.resolve()))
    try:
        if not group:
            return importlib.import_module("sparsegpt").SparseGPT(matrix)
        made = importlib.import_module("gptq").GPTQ(matrix)
        made.quantizer = importlib.import_module("quant").Quantizer()
        made.quantizer.configure(4, perchannel=True, sym=True, mse=False)
        return made
    finally:
        sys.path.pop(0)


def load(folder: Path, dtype: torch.dtype) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.to("cuda").eval()


def read_tokens(asked: argparse.Namespace, text: Path) -> Tensor:
    tokenizer = Tokenizer.from_file(str(asked.model / "tokenizer.json"))
    found = tokenizer.encode(text.read_text(), add_special_tokens=False)
    return torch.tensor(found.ids)


@torch.no_grad()
def perplexity(asked: argparse.Namespace, model: Any) -> float:
    """Of all tokens but each window's first; the text's tail is dropped."""
    tokens = read_tokens(asked, asked.test)
    windows = tokens[: len(tokens) // asked.length * asked.length]
    windows, loss = windows.view(-1, asked.length).to("cuda"), 0.0
    for start in range(0, len(windows), 4):
        window = windows[start : start + 4]
        logits = model(window).logits[:, :-1].flatten(0, 1).float()
        total = nn.functional.cross_entropy(
            logits, window[:, 1:].flatten(), reduction="sum"
        )
        loss += total.item()
    return math.exp(loss / (windows.numel() - len(windows)))


if __name__ == "__main__":
    main()
