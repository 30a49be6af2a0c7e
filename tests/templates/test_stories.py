"""stories260K, a Llama that others trained, writes what it writes in llama2.c: to the letter."""

import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openai
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import AutoModelForCausalLM

from tests.conftest import built

Modules = Callable[[Path], SimpleNamespace]
SHARED = Path(__file__).parents[3] / "shared" / "data"
STORIES = SHARED / "stories260K"
pytestmark = pytest.mark.skipif(not STORIES.exists(), reason="the model is not here")
PAGE = """\
leangen: 1
name: stories
model: {checkpoint: ./model}
data: {source: text, path: corpus.txt}
quantization: {weights: 32}
target: {hardware: x86-2core, context: 512}
serve: {device: cpu}
"""
# karpathy/llama2.c, test_all.py: 200 steps at temperature 0
PUBLISHED = """\
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She \
said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she"""


def halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Order a head's rows by halves: llama2.c rotates neighbours, (layers, out, in)."""
    layers, out, width = rows.shape
    pairs = rows.reshape(layers, heads, out // heads // 2, 2, width)
    return pairs.swapaxes(2, 3).reshape(rows.shape)


def convert_model(source: Path, folder: Path) -> None:
    """Write llama2.c's legacy format as a Hugging Face folder."""
    content = source.read_bytes()
    width, inner, layers, heads, shared, vocabulary, context = struct.unpack(
        "<7i", content[:28]
    )
    floats = np.frombuffer(content, "<f4", offset=28)
    kv = width // heads * shared
    shapes = {
        "model.embed_tokens": (vocabulary, width),
        "input_layernorm": (layers, width),
        "self_attn.q_proj": (layers, width, width),
        "self_attn.k_proj": (layers, kv, width),
        "self_attn.v_proj": (layers, kv, width),
        "self_attn.o_proj": (layers, width, width),
        "post_attention_layernorm": (layers, width),
        "mlp.gate_proj": (layers, inner, width),
        "mlp.down_proj": (layers, width, inner),
        "mlp.up_proj": (layers, inner, width),
        "model.norm": (width,),
    }
    tensors, used = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found = floats[used : used + size].reshape(shape)
        used += size
        if name.endswith(("q_proj", "k_proj")):
            found = halves(found, heads if name.endswith("q_proj") else shared)
        if name.startswith("model."):
            tensors[f"{name}.weight"] = found
            continue
        for i in range(layers):
            tensors[f"model.layers.{i}.{name}.weight"] = found[i].copy()
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))


def convert_tokenizer(source: Path, folder: Path) -> None:
    """Write llama2.c's pieces with their scores as merges, from the best to the worst."""
    content, pieces = source.read_bytes(), []
    at = 4
    while at < len(content):
        score, length = struct.unpack_from("<fi", content, at)
        pieces.append((content[at + 8 : at + 8 + length].decode(), score))
        at += 8 + length
    names = ["<unk>", "<s>", "</s>", *(piece for piece, _ in pieces[3:])]
    ids = {name: i for i, name in enumerate(names)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece, _ in sorted(pieces[259:], key=lambda row: -row[1])
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    model = models.BPE(
        ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def stories() -> list[str]:
    text = (SHARED / "tinystories" / "tiny.utf8").read_text(encoding="utf-8")
    return [story.strip() for story in text.split("<|endoftext|>") if story.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stories")
    (root / "model").mkdir()
    convert_model(STORIES / "stories260K.bin", root / "model")
    convert_tokenizer(STORIES / "tok512.bin", root / "model")
    (root / "corpus.txt").write_text("\n".join(stories()))
    (root / "spec.yaml").write_text(PAGE)
    made = built(root / "spec.yaml")
    for script in ("data.py", "export.py"):
        subprocess.run([sys.executable, script], cwd=made, check=True)
    return made


def test_what_is_served_is_the_published_text(folder: Path) -> None:
    command = [sys.executable, "serve.py", "--port", "0"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        found = re.search(r"http\S+", run.stdout.readline())
        assert found
        client = openai.OpenAI(base_url=found[0], api_key="-", max_retries=0)
        answer = client.completions.create(
            model="stories", prompt="", max_tokens=200, temperature=0
        )
        run.terminate()
    assert answer.choices[0].text == PUBLISHED


def loss(logits: np.ndarray, targets: list[int]) -> np.ndarray:
    """Losses of the tokens that followed, in nats: (T,)."""
    logits = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(targets)), targets]
    found: np.ndarray = np.log(np.exp(logits).sum(axis=1)) - chosen
    return found


def test_the_loss_on_stories_is_what_transformers_finds(
    folder: Path, modules: Modules
) -> None:
    ours = modules(folder)
    decoder, vocabulary = (
        ours.decoder.Decoder("model.onnx"),
        ours.vocabulary.Vocabulary(),
    )
    theirs = AutoModelForCausalLM.from_pretrained(folder.parents[1] / "model")
    found, expected = [], []
    for story in stories()[:40]:
        tokens = vocabulary.encode(story)[: decoder.context]
        decoder.length = 0
        logits = decoder.forward(tokens[:-1], range(len(tokens) - 1))
        found.append(loss(logits, tokens[1:]))
        with torch.no_grad():
            logits = theirs(torch.tensor([tokens[:-1]])).logits[0].numpy()
        expected.append(loss(logits, tokens[1:]))
    mean = np.concatenate(found).mean()
    assert mean == pytest.approx(np.concatenate(expected).mean(), abs=1e-6)
    assert mean < 1.5  # it was trained on such stories
