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

Ours is `python prune.py` or `quantize.py` in a folder that leangen builds; its seconds are
the ledger's, from reading to the last file, and its memory is what torch allocated, and in
all, with CUDA's own, what the ledger says: true of a GPU that nothing else uses. Theirs is
`prune_wanda`, or their class in the loop of their llama.py, with the calls of transformers
5, in float16, without loading; memory is what torch allocated, the model's included where
it lies there whole (Wanda). Perplexity is transformers', in float32, on windows that do not
overlap: of every size of the first TEST, of the first size of the others. `--device cpu`
is a rehearsal: torch counts no memory there.
"""

import argparse
import contextlib
import gc
import importlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

ROWS = (
    *(f"sparsegpt:{zeros}" for zeros in ("2:4", "4:8", "0.3", "0.5", "0.7")),
    *(f"wanda:{zeros}" for zeros in ("2:4", "4:8", "0.5")),
    *(f"gptq:{grid}" for grid in ("8:32", "4:64", "4:32", "3:32", "2:32")),
)
SEQUENCES, LENGTH, WINDOWS = 128, 2_048, (2_048, 512)
AT_ONCE = 8_192  # tokens, for perplexity
SPEC = """\
leangen: 1
name: {name}
model: {{checkpoint: {model}}}
data: {{source: text, path: {here}/calibration.txt, calibration: {here}/calibration.txt}}
sparsity: {sparsity}
quantization: {quantization}
train: {{precision: {precision}}}
target: {{hardware: {hardware}, context: {length}}}
serve: {{device: cpu}}
"""
DENSE, FLOATS = "{pattern: dense}", "{weights: 16}"
PRUNED = "{{{zeros}, method: {method}, calibration_sequences: {sequences}}}"
ROUNDED = "{{weights: {bits}, group_size: {group}, method: gptq, calibration_sequences: {sequences}}}"
RUN = """
import runpy, sys, torch
runpy.run_path(sys.argv.pop(), run_name="__main__")
print(torch.cuda.max_memory_allocated())
"""
HEAD = (
    "| | ours: perplexity | zeros | s | MiB | in all "
    "| theirs: perplexity | zeros | s | MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)

Change = Callable[[nn.Linear], tuple[Any, Callable[[], None]]]


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
    )


def ours(here: Path, row: str) -> list[str]:
    """Run a folder's script: its seconds, MiB that torch allocated, and MiB in all."""
    folder = here / "generated" / name_of(row)
    stage = "quantize" if row.startswith("gptq") else "prune"
    call = [sys.executable, "-c", RUN, f"{stage}.py"]
    done = subprocess.run(
        call, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    *_, shown, allocated = done.stdout.splitlines()
    print(f"{row}: {shown}", flush=True)
    took = json.loads((folder / "artifacts" / "ledger.json").read_text())[stage]
    sizes = int(allocated), took["measured_bytes"]
    return [f"{took['seconds']:.1f}", *(f"{size / 2**20:,.0f}" for size in sizes)]


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


def theirs(asked: argparse.Namespace, row: str, calibration: Tensor) -> list[str]:
    """Run the authors' code: quality, its own seconds, and MiB that torch allocated."""
    method, _, how = row.partition(":")
    model = load(asked, asked.model, torch.float16)
    if method != "wanda":
        model.to("cpu")
    gc.collect()  # what the row before left is not this one's
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    with torch.no_grad(), contextlib.redirect_stdout(None):
        if method == "wanda":
            prune_wanda(asked, model, calibration, how)
        else:
            go_through(asked, model, calibration, change_of(asked, method, how))
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**20
    model.float().to(asked.device)
    return [*quality(asked, model), f"{seconds:.1f}", f"{peak:,.0f}"]


def prune_wanda(
    asked: argparse.Namespace, model: Any, calibration: Tensor, how: str
) -> None:
    """Call the authors' function, with the text and what the first layer reads from here."""
    inputs, places, angles = embedded(asked, model, calibration)
    data: Any = ModuleType("lib.data")  # theirs downloads C4
    data.get_loaders = lambda *_, **__: (None, None)
    sys.modules["lib.data"] = data
    module = authors(asked.wanda, "lib.prune")
    hooks = [  # transformers 5 gives the angles to each layer
        layer.register_forward_pre_hook(
            lambda _, given, named: (given, named | {"position_embeddings": angles}),
            with_kwargs=True,
        )
        for layer in model.model.layers
    ]
    model.hf_device_map, model.seqlen = {}, asked.length
    ratio, goes, group = zeros_of(how)
    wanted = SimpleNamespace(
        nsamples=asked.sequences, seed=0, sparsity_ratio=ratio, use_variant=False
    )
    first = inputs, torch.zeros_like(inputs), None, places
    with patch.object(module, "prepare_calibration_input", lambda *_: first):
        module.prune_wanda(wanted, model, None, asked.device, goes, group)
    for hook in hooks:
        hook.remove()


def go_through(
    asked: argparse.Namespace, model: Any, calibration: Tensor, change: Change
) -> None:
    """Go through the layers as their llama.py does: measure, change, and run once more."""
    inputs, places, angles = embedded(asked, model, calibration)
    outputs = torch.zeros_like(inputs)

    def run(layer: nn.Module) -> None:
        for j in range(len(inputs)):
            made = layer(inputs[j : j + 1], None, places, position_embeddings=angles)
            outputs[j] = made[0] if isinstance(made, tuple) else made.squeeze(0)

    for layer in model.model.layers:
        layer.to(asked.device)
        matrices = [part for part in layer.modules() if isinstance(part, nn.Linear)]
        changes = [change(matrix) for matrix in matrices]
        hooks = [
            matrix.register_forward_hook(seen(method))
            for matrix, (method, _) in zip(matrices, changes, strict=True)
        ]
        run(layer)
        for hook in hooks:
            hook.remove()
        for method, finish in changes:
            finish()
            method.free()
        run(layer)
        layer.to("cpu")
        torch.cuda.empty_cache()
        inputs, outputs = outputs, inputs


def seen(method: Any) -> Any:
    return lambda _, inputs, output: method.add_batch(inputs[0].data, output.data)


def change_of(asked: argparse.Namespace, method: str, how: str) -> Change:
    """Give what makes of a matrix an instance of the authors' class, and its last call."""
    module = authors(getattr(asked, method), method)

    def prune(matrix: nn.Linear) -> tuple[Any, Callable[[], None]]:
        ratio, goes, group = zeros_of(how)
        made = module.SparseGPT(matrix)
        return made, partial(made.fasterprune, ratio, prunen=goes, prunem=group)

    def quantize(matrix: nn.Linear) -> tuple[Any, Callable[[], None]]:
        bits, group = map(int, how.split(":"))
        made = module.GPTQ(matrix)
        made.quantizer = module.Quantizer()
        made.quantizer.configure(bits, perchannel=True, sym=True, mse=False)
        return made, partial(made.fasterquant, groupsize=group)

    return quantize if method == "gptq" else prune


def zeros_of(how: str) -> tuple[float, int, int]:
    """What the authors' functions take: the share that goes, or how many of how many."""
    if ":" not in how:
        return float(how), 0, 0
    kept, group = map(int, how.split(":"))
    return 1 - kept / group, group - kept, group


def authors(folder: Path, name: str) -> Any:
    """Import a module of the authors'."""
    sys.modules.pop("quant", None)  # two of them have one, each another
    sys.path.insert(0, str(folder.resolve()))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def embedded(
    asked: argparse.Namespace, model: Any, calibration: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Make what the first layer reads, (N, T, C), the positions, and their angles."""
    embed = model.model.embed_tokens
    home = embed.weight.device
    embed.to(asked.device)
    inputs = torch.cat([embed(row[None].to(asked.device)) for row in calibration])
    embed.to(home)
    places = torch.arange(asked.length, device=asked.device)[None]
    return inputs, places, model.model.rotary_emb.to(asked.device)(inputs[:1], places)


def load(asked: argparse.Namespace, folder: Path, dtype: torch.dtype) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.to(asked.device).eval()


def checkpoint_quality(asked: argparse.Namespace, folder: Path) -> list[str]:
    """Measure a checkpoint as `quality` does, in float32."""
    return quality(asked, load(asked, folder, torch.float32))


def quality(asked: argparse.Namespace, model: Any) -> list[str]:
    """Perplexity on the texts, and the share of zeros in the layers' matrices."""
    windows = [(asked.test[0], size) for size in asked.windows]
    windows += [(text, asked.windows[0]) for text in asked.test[1:]]
    found = (
        perplexity(model, read_tokens(asked.model, text), size)
        for text, size in windows
    )
    parts = [
        part for part in model.model.layers.modules() if isinstance(part, nn.Linear)
    ]
    zeros = sum(int((part.weight == 0).sum()) for part in parts)
    share = zeros / sum(part.weight.numel() for part in parts)
    return [" / ".join(f"{value:.3f}" for value in found), f"{share:.2%}"]


@cache
def read_tokens(model: Path, text: Path) -> Tensor:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    found = tokenizer.encode(text.read_text(), add_special_tokens=False)
    return torch.tensor(found.ids)


@torch.no_grad()
def perplexity(model: Any, tokens: Tensor, size: int) -> float:
    """Of all tokens but each window's first; the text's tail is dropped."""
    windows = tokens[: len(tokens) // size * size].view(-1, size).to(model.device)
    loss = 0.0
    for window in torch.split(windows, max(1, AT_ONCE // size)):
        logits = model(window).logits[:, :-1].flatten(0, 1).float()
        total = nn.functional.cross_entropy(
            logits, window[:, 1:].flatten(), reduction="sum"
        )
        loss += total.item()
    return math.exp(loss / (windows.numel() - len(windows)))


if __name__ == "__main__":
    main()
