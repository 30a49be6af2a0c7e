"""How fast an exported model runs on this CPU beside llama.cpp, at the same bits.

    pip install xllamacpp
    python benchmarks/llama_cpp.py FOLDER [--bits 4] [--group-size 32] [--rounds 5]

FOLDER is a Hugging Face model, such as docs/smollm2.py makes. With --shape 1.1b instead of
a folder, random weights of TinyLlama's shape are made, with a vocabulary of 49,152. Both
engines get the same weights, take turns, and have a process each; what stands there is the
median of the rounds, and the ratio of ours to theirs. llama.cpp has groups of 32 whatever
ours are, and its default settings but for the threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SPEC = """\
leangen: 1
name: bench
model: {{checkpoint: {folder}}}
data: {{source: python-manual}}
quantization: {{weights: {bits}, group_size: {group}}}
export: {{formats: {formats}}}
target: {{hardware: {hardware}, context: 2k}}
serve: {{device: cpu}}
"""
OURS = """
import json, sys, time
sys.path.insert(0, ".")
import numpy as np
from artifacts import peak_bytes
from decoder import Decoder
decoder = Decoder("model.onnx")
tokens = np.random.default_rng(0).integers(0, 40_000, 2048)
def rate(steps):
    started = time.perf_counter()
    for step in steps:
        decoder.forward(step, [len(step) - 1])
    return sum(map(len, steps)) / (time.perf_counter() - started)
def chunks(count):
    return [tokens[i : min(i + 256, count)] for i in range(0, count, 256)]
found = {"prefill 512": rate(chunks(512))}
for past in (128, 1900):
    decoder.length = 0
    rate(chunks(past))
    found[f"decode at {past}"] = rate([tokens[:1]] * 32)
print(json.dumps(found | {"MiB": peak_bytes() / 2**20}))
"""
THEIRS = """
import json, os, re, sys, urllib.request
import numpy as np, xllamacpp
asked = xllamacpp.CommonParams()
asked.model.path = sys.argv[1]
asked.n_ctx, asked.n_parallel, asked.verbosity = 2048, 1, -1
asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = os.cpu_count()
server = xllamacpp.Server(asked)
tokens = np.random.default_rng(0).integers(0, 40_000, 2048).tolist()
def timings(count, steps):
    body = {"prompt": tokens[:count], "n_predict": steps, "temperature": 0}
    body |= {"ignore_eos": True, "cache_prompt": False}
    request = urllib.request.Request(server.listening_address + "/completion",
        json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())["timings"]
found = {"prefill 512": timings(512, 1)["prompt_per_second"]}
for past in (128, 1900):
    found[f"decode at {past}"] = timings(past, 33)["predicted_per_second"]
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(json.dumps(found | {"MiB": int(peak) / 1024}))
"""
TINY_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "vocab_size": 49_152,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def build(root: Path, folder: Path, bits: int, group: int, formats: str) -> Path:
    """Generate the scripts that export a model, and run them."""
    name = formats or "onnx"
    text = SPEC.format(
        folder=folder.resolve(),
        bits=bits,
        group=group,
        formats=f"[{formats}]",
        hardware="x86-2core",
    )
    (root / f"{name}.yaml").write_text(text.replace("export: {formats: []}\n", ""))
    leangen = [sys.executable, "-c", "from leangen.cli import main; main()"]
    command = [*leangen, "build", f"{name}.yaml", "--out", name]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    made = root / name / "bench"
    for script in ("data.py", "export_gguf.py" if formats else "export.py"):
        subprocess.run([sys.executable, script], cwd=made, check=True)
    return made


def measure(code: str, cwd: Path, *arguments: str) -> dict[str, float]:
    """Run one engine in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def random_model(folder: Path, tokenizer: Path) -> None:
    """Write random weights of TinyLlama's shape, with a tokenizer from elsewhere."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY_LLAMA))
    config = AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(config)
    model = model.to(torch.bfloat16)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())


def main() -> None:
    """Export a model for both engines, let them take turns, and show the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=["1.1b"])
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root, folder = Path(scratch), asked.folder
        if asked.shape:
            folder = root / "random"
            random_model(folder, asked.folder / "tokenizer.json")
        ours = build(root, folder, asked.bits, asked.group_size, "")
        theirs = build(root, folder, asked.bits, 32, "gguf")
        gguf = str(theirs / "artifacts" / "gguf" / "model.gguf")
        rounds = [
            (measure(OURS, ours), measure(THEIRS, theirs, gguf))
            for _ in range(asked.rounds)
        ]
    print(f"{asked.bits} bits, our groups {asked.group_size}, {os.cpu_count()} cores")
    for key in rounds[0][0]:
        us, them = (statistics.median(r[i][key] for r in rounds) for i in (0, 1))
        print(f"{key:15} {us:10,.1f} {them:10,.1f}   {us / them:.2f}x")


if __name__ == "__main__":
    main()
