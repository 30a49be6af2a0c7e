"""The engine of a GPU at the shape of an 8B Llama: a step's time, a prompt's, memory beside the plan.

    python benchmarks/gpu_engine.py [--rows "4 bits" "2:4, 4 bits" ...] [--slots 64]

Each row is a folder that leangen builds for a checkpoint of which there is config.json
alone; its artifacts/packed is filled with random weights in the layout of its export.py.
A step is the decoder's CUDA graph alone, behind so many tokens; tokens a second are those
of `running.py`: with Python, and with the logits brought to the host. 16 bits are measured
once more with torch's products (cuBLAS) in the layers in place of ours, and 4 bits with torch's
own for 4 bits; norms and gates are then compiled by torch, and all else is the same.

With --slots the engine has so many sequences, and a step is measured for one token of one
of them, of two, of four and so on: a line each.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4_096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SPEC = """\
leangen: 1
name: {name}
model: {{checkpoint: ./model}}
data: {{source: text, path: text.txt}}
sparsity: {sparsity}
quantization: {{weights: {weights}}}
target: {{hardware: {hardware}, context: {context}, batch: {slots}}}
serve: {{engine: torch}}
"""
DENSE, TWO_OF_FOUR = "{pattern: dense}", "{pattern: '2:4', method: magnitude}"
ROWS = {
    "16 bits": (DENSE, "16"),
    "2:4, 16 bits": (TWO_OF_FOUR, "16"),
    "8 bits": (DENSE, "8, group_size: 128"),
    "2:4, 8 bits": (TWO_OF_FOUR, "8, group_size: 128"),
    "4 bits": (DENSE, "4, group_size: 128"),
    "2:4, 4 bits": (TWO_OF_FOUR, "4, group_size: 128"),
    "2:4, 4 bits, cache 8": (TWO_OF_FOUR, "4, group_size: 128, kv_cache: 8"),
}
FILL = """
import json, math, sys, torch
sys.path.insert(0, "")
sys.argv[0] = "export.py"
from artifacts import ARTIFACTS, write_json
from architecture import config
from export import forms, lay_out

bits, device = int(sys.argv[1]), "cuda" if torch.cuda.is_available() else "cpu"
ARTIFACTS.mkdir(exist_ok=True)
file = lay_out(ARTIFACTS / "packed", config(), forms())
write_json(ARTIFACTS / "packed" / "config.json", config() | {"zeros": 0})
two = torch.tensor([0b0100, 0b1000, 0b1100, 0b1001, 0b1101, 0b1110], device=device)
for name, place in file.places.items():
    count = math.prod(place.shape)
    if name.endswith("places"):
        found = two[torch.randint(6, (count, 8), device=device)]
        found = (found << 4 * torch.arange(8, device=device)).sum(1).int()
    elif name.endswith("scales"):
        found = (torch.rand(count, device=device) / 20 / 2 ** (bits - 1)).bfloat16()
    elif name.endswith("values") and bits < 16:
        found = torch.randint(-2**31, 2**31 - 1, (count,), dtype=torch.int32, device=device)
    elif name.endswith("values"):
        found = (torch.randn(2 * count, device=device) / 50).bfloat16()
    elif "norm" in name:
        found = torch.ones(count, device=device).bfloat16()
    else:
        found = torch.randn(count, device=device).bfloat16()
    file.write(name, found.view(torch.uint8).cpu().numpy())
"""
MEASURE = """
import json, sys, time, torch
sys.path.insert(0, "")
sys.argv[0], behind, products = "serve.py", json.loads(sys.argv[1]), sys.argv[2]
started = time.perf_counter()
import weights
import decoder
from products import GATED, STREAM
from running import speeds
from torch.nn import functional as F

engine = decoder.Decoder()
found = {"start": time.perf_counter() - started}
several = hasattr(engine, "graphs")
graphs = engine.graphs if several else {1: engine.graph}

def step(graph, rows):
    took = []
    for position in behind:
        if several:
            engine.given[1, :rows] = position
            engine.given[2, :rows] = torch.arange(rows)
        else:
            engine.position.fill_(position)
        starts, ends = ([torch.cuda.Event(enable_timing=True) for _ in range(20)] for _ in "ab")
        for start, end in zip(starts, ends):
            start.record(), graph.replay(), end.record()
        torch.cuda.synchronize()
        took.append(sorted(a.elapsed_time(b) for a, b in zip(starts, ends))[10])
    return took

found["step"] = {rows: step(graph, rows) for rows, graph in graphs.items()}
found |= speeds(engine, engine.forward)

@torch.compile
def normed(x, norm):
    return F.rms_norm(x, x.shape[-1:], norm, 1e-5)

@torch.compile
def gated(made):
    gate, up = made.chunk(2, 1)
    return F.silu(gate) * up

def by_torch(make):
    held = {}
    for layer in engine.layers:
        for matrix in (layer.qkv, layer.o, layer.gate_up, layer.down):
            held[matrix] = make(matrix, GATED if matrix is layer.gate_up else 0)

    def product(matrix, x, y, how=0, norm=None):
        if matrix not in held:
            return ours(matrix, x, y, how, norm)
        made = held[matrix](x if norm is None else normed(x, norm))
        if how == STREAM:
            y.add_(made)
        else:
            y.copy_(gated(made) if how == GATED else made)

    ours, weights.Matrix.product = weights.Matrix.product, product
    took = {}
    with torch.no_grad():
        for rows in graphs:
            given = [rows] if several else []
            took[rows] = step(engine.record(*given), rows)
    weights.Matrix.product = ours
    return took

def in_bf16(matrix, how):
    dense = matrix.unpacked(weights.room(matrix.out * matrix.width), how)
    return lambda x: F.linear(x, dense)

def in_4_bits(matrix, how):
    levels = torch.randint(256, (matrix.out, matrix.width // 2), device="cuda").to(torch.uint8)
    packed = torch.ops.aten._convert_weight_to_int4pack(levels, 8)
    scales = torch.rand(matrix.width // 128, matrix.out, 2, device="cuda").bfloat16() / 100
    return lambda x: torch.ops.aten._weight_int4pack_mm(x, packed, 128, scales)

for name in products.split():
    found[name] = by_torch(globals()[name])
print(json.dumps(found))
"""
SEQUENCES = """
| | sequences | a step, ms | tokens a second | by torch, ms | MiB | planned |
|---|---:|---:|---:|---:|---:|---:|"""
HEAD = """
| | GB | start, s | a step, ms | tokens a second | of a prompt | MiB | planned |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    asked = read_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "model").mkdir()
        (here / "model" / "config.json").write_text(json.dumps(SHAPE))
        (here / "text.txt").write_text("no text is read")
        print(HEAD if asked.slots == 1 else SEQUENCES, flush=True)
        for number, row in enumerate(asked.rows):
            folder = build(asked, here, f"row-{number}", *ROWS[row])
            for cells in figures(asked, folder, row):
                print(f"| {row} | {' | '.join(cells)} |", flush=True)
            shutil.rmtree(folder)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The engine of a GPU, measured.")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--hardware", default="h200")
    parser.add_argument("--context", type=int, default=8_192)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--behind", type=int, nargs="+", default=[512, 8_000])
    return parser.parse_args()


def build(
    asked: argparse.Namespace, here: Path, name: str, sparsity: str, weights: str
) -> Path:
    """Build a folder, and fill what its export.py would pack."""
    page = SPEC.format(
        name=name,
        sparsity=sparsity,
        weights=weights,
        hardware=asked.hardware,
        context=asked.context,
        slots=asked.slots,
    )
    (here / f"{name}.yaml").write_text(page)
    call = [sys.executable, "-c", "from leangen.cli import main; main()", "build"]
    call += [f"{name}.yaml"]
    subprocess.run(call, cwd=here, check=True, stdout=subprocess.DEVNULL)
    folder, bits = here / "generated" / name, weights.partition(",")[0]
    subprocess.run([sys.executable, "-c", FILL, bits], cwd=folder, check=True)
    return folder


def figures(asked: argparse.Namespace, folder: Path, row: str) -> Iterator[list[str]]:
    """Run the engine of a folder in a process of its own: the cells of its lines."""
    products = {"16 bits": "in_bf16", "4 bits": "in_4_bits"}.get(row, "")
    call = [sys.executable, "-c", MEASURE, json.dumps(asked.behind), products]
    done = subprocess.run(call, cwd=folder, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    planned = json.loads((folder / "plan.json").read_text())["stages"]["serve"]
    sizes = found["peak_bytes"], planned["peak_bytes"]
    memory = [f"{size / 2**20:,.0f}" for size in sizes]
    by_torch = found.get(products)
    if asked.slots > 1:
        for rows, took in found["step"].items():
            rates = " / ".join(f"{1_000 * int(rows) / each:,.0f}" for each in took)
            theirs = times(by_torch[rows]) if by_torch else ""
            yield [rows, times(took), rates, theirs, *memory]
        return
    step = times(found["step"]["1"])
    if by_torch:
        step += f" (torch {products} {times(by_torch['1'])})"
    packed = (folder / "artifacts" / "packed").iterdir()
    yield [
        f"{sum(file.stat().st_size for file in packed) / 1e9:.2f}",
        f"{found['start']:.1f}",
        step,
        f"{found['decode_tokens_per_second']:.0f}",
        f"{found['prefill_tokens_per_second']:,.0f}",
        *memory,
    ]


def times(took: list[float]) -> str:
    """Spell milliseconds behind short and long contexts."""
    return " / ".join(f"{each:.3f}" for each in took)


if __name__ == "__main__":
    main()
