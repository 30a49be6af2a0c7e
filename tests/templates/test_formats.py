"""Formats for other engines, read back by the engines' own libraries."""

import copy
import inspect
import json
import shutil
import subprocess
import sys
import urllib.request
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from tests.conftest import built

Write = Callable[..., Path]
RunHere = Callable[[Path, str], str]
Modules = Callable[[Path], SimpleNamespace]

SPEC = """
leangen: 1
name: given
model: {{checkpoint: ../model}}
data: {{source: text, path: "*.txt", test: "*.txt"}}
quantization: {{weights: {bits}{group}}}
export: {{formats: [{formats}]}}
target: {{hardware: x86-2core, context: 64}}
serve: {{device: cpu}}
"""
SMALL: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
EXPERTS = {"num_experts_per_tok": 2}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-stretched": ("llama", {"rope_parameters": STRETCHED}),
    "mistral": ("mistral", {"sliding_window": 32}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "mixtral": ("mixtral", {"num_local_experts": 4, **EXPERTS}),
    "qwen3_moe": (
        "qwen3_moe",
        {"num_experts": 4, "moe_intermediate_size": 32, "norm_topk_prob": True}
        | {"head_dim": 32, **EXPERTS},
    ),
}
LLAMA_3 = inspect.signature(TikTokenConverter.__init__).parameters["pattern"].default
DIGITS = pre_tokenizers.Digits(individual_digits=True)
AS_GPT_2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
PROMPT = [0, 17, 255, 31, 300, 42, 8, 99, 120, 7, 64, 201, 33, 280, 5, 77]


def some_model(family: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """Make a small model whose every tensor matters: norms and biases are random, too."""
    kind, own = FAMILIES[family]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **own, **changes})
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1 if "norm" in name else 0, 0.1)
            weight.copy_(weight.to(dtype))
    return model.eval()


def byte_level_bpe(cuts: list[Any], alphabet: list[str], size: int) -> Tokenizer:
    """Learn a byte-level BPE of pieces that a text is cut into."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
    )
    tokenizer.train_from_iterator([Path(json.__file__).read_text()], trainer)
    return tokenizer


@pytest.fixture
def write(tmp_path: Path, run_here: RunHere) -> Write:
    """Build a spec of a model, and run the script of one format; return the project.

    The tokens are ASCII alone: llama.cpp's server keeps back what is no whole character.
    """
    known = byte_level_bpe([AS_GPT_2], [c for c in ALPHABET if c.isascii()], size=320)

    def run(
        model: Any,
        bits: int,
        format: str,
        dtype: torch.dtype = torch.float32,
        tokenizer: Tokenizer = known,
    ) -> Path:
        copy.deepcopy(model).to(dtype).save_pretrained(tmp_path / "model")
        tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
        (tmp_path / "spec").mkdir()
        group = ", group_size: 32" if bits < 16 else ""
        page = SPEC.format(bits=bits, group=group, formats=format)
        (tmp_path / "spec" / "s.yaml").write_text(page)
        project = built(tmp_path / "spec" / "s.yaml")
        (project / "artifacts").mkdir(exist_ok=True)
        file = tmp_path / "model" / "tokenizer.json"
        shutil.copyfile(file, project / "artifacts" / "tokenizer.json")
        assert run_here(project, f"export_{format.replace('-', '_')}") == ""
        return project

    return run


def rounded(model: Any, quantize: Any, **kinds: Any) -> Any:
    """Put in place of each weight what the levels and scales of `quantize` say.

    matrix, table: bits of the layers' matrices and of embedding and head, None where
    they stay; scale: the type of the scales.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            bits = kinds["matrix"] if "layers" in name else kinds["table"]
            if weight.ndim == 1 or ".gate.weight" in name or bits is None:
                continue
            rows = weight.float().reshape(-1, weight.shape[-1]).numpy()
            levels, scales = quantize(rows, bits)
            steps = torch.from_numpy(scales[..., None]).to(kinds["scale"])
            values = (torch.from_numpy(levels).float() - 2 ** (bits - 1)) * steps
            weight.copy_(values.view(weight.shape))
    return model


@torch.no_grad()
def logits_of(model: Any, tokens: list[int]) -> np.ndarray:
    found: np.ndarray = model(torch.tensor([tokens])).logits[0].float().numpy()
    return found


PACKED = [
    ("llama", 4, torch.float32),
    ("llama-tied", 4, torch.bfloat16),
    ("llama", 8, torch.float16),
    ("llama", 2, torch.float32),
    ("qwen2", 8, torch.float32),
    ("qwen3", 8, torch.float32),
    ("mixtral", 4, torch.float32),
    ("qwen3_moe", 4, torch.float32),
]


@pytest.mark.parametrize(("family", "bits", "dtype"), PACKED)
def test_compressed_tensors_loads_what_was_rounded(
    write: Write, modules: Modules, family: str, bits: int, dtype: torch.dtype
) -> None:
    pytest.importorskip("compressed_tensors")
    model = some_model(family, dtype)
    project = write(model, bits, "compressed-tensors", dtype)
    folder = project / "artifacts" / "compressed-tensors"
    theirs: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs.eval()
    quantize = modules(project).rounding.quantize
    ours = rounded(model, quantize, matrix=bits, table=None, scale=dtype)
    expected = logits_of(ours, PROMPT)
    np.testing.assert_allclose(logits_of(theirs, PROMPT), expected, atol=2e-5)
    assert np.abs(expected).max() > 0.5
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() == 320


def test_two_bits_run_in_onnx_runtime(write: Write, modules: Modules) -> None:
    """What it multiplies by is rounded to 8 bits, too: that is the difference to torch."""
    model = some_model("llama")
    dense = logits_of(model, PROMPT)
    ours = modules(write(model, 2, "compressed-tensors"))
    ours.export.main()
    decoder = ours.decoder.Decoder("model.onnx")
    found = decoder.forward(PROMPT, range(len(PROMPT)))
    quantize = ours.rounding.quantize
    whole = rounded(model, quantize, matrix=2, table=8, scale=torch.float32)
    expected = logits_of(whole, PROMPT)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)
    assert np.linalg.norm(dense - expected) > 0.3 * np.linalg.norm(expected)


LLAMA = """
import sys, xllamacpp
asked = xllamacpp.CommonParams()
asked.model.path = sys.argv[1]
asked.n_ctx, asked.n_parallel, asked.warmup = 128, 1, False
asked.cpuparams.n_threads = 1
asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
off = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
asked.flash_attn_type = off
asked.verbosity = -1
server = xllamacpp.Server(asked)
print("listens at", server.listening_address, flush=True)
sys.stdin.read()
"""


class Llama:
    """llama.cpp's own server on a file, in a process of its own: it was seen not to end."""

    def __init__(self, file: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", LLAMA, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        weakref.finalize(self, process.kill)
        assert process.stdout
        said = next(line for line in process.stdout if line.startswith("listens at"))
        self.address = said.split()[-1]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            self.address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def complete(self, tokens: list[int], steps: int) -> tuple[list[int], np.ndarray]:
        """Continue greedily; return the tokens, and the log of all chances at each."""
        size = SMALL["vocab_size"]
        asked = {"n_predict": steps, "n_probs": size, "temperature": 0}
        answer = self.post("/completion", prompt=tokens, ignore_eos=False, **asked)
        found, chances = [], np.full((steps, size), -np.inf)
        for i, row in enumerate(answer["completion_probabilities"]):
            found.append(row["id"])
            for one in row["top_logprobs"]:
                chances[i, one["id"]] = one["logprob"]
        return found, chances[: len(found)]


def chances_of(model: Any, tokens: list[int], new: list[int]) -> np.ndarray:
    """Give the log of all chances of each of some new tokens."""
    logits = logits_of(model, tokens + new[:-1])[len(tokens) - 1 :]
    found: np.ndarray = torch.from_numpy(logits).log_softmax(-1).numpy()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_computes_what_transformers_does(write: Write, family: str) -> None:
    pytest.importorskip("xllamacpp")
    model = some_model(family)
    project = write(model, 32, "gguf")
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    new, chances = llama.complete(PROMPT, 8)
    expected = chances_of(model, PROMPT, new)
    assert new == expected.argmax(1).tolist()
    np.testing.assert_allclose(chances, expected, atol=1e-4)


# llama.cpp rounds what it multiplies by, too: to 16 bits of the same kind.
@pytest.mark.parametrize(
    ("dtype", "off"), [(torch.float16, 5e-3), (torch.bfloat16, 0.05)]
)
def test_floats_of_16_bits_stay_as_they_are_in_gguf(
    write: Write, dtype: torch.dtype, off: float
) -> None:
    pytest.importorskip("xllamacpp")
    model = some_model("llama", dtype)
    project = write(model, 16, "gguf", dtype)
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    new, chances = llama.complete(PROMPT, 8)
    expected = chances_of(model, PROMPT, new)
    assert new == expected.argmax(1).tolist()
    np.testing.assert_allclose(chances, expected, atol=off)


# llama.cpp rounds what it multiplies by to 8 bits: 0.07 of log-probabilities down to -8.8
# was the most seen, where rounding the weights to 4 bits moves them by 0.6 to 1.0.
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("family", ["llama", "llama-tied", "qwen2", "qwen3_moe"])
def test_llama_cpp_multiplies_by_the_same_levels(
    write: Write, modules: Modules, family: str, bits: int
) -> None:
    pytest.importorskip("xllamacpp")
    model = some_model(family)
    project = write(model, bits, "gguf")
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    new, chances = llama.complete(PROMPT, 8)
    quantize = modules(project).rounding.quantize
    ours = rounded(model, quantize, matrix=bits, table=8, scale=torch.float16)
    expected = chances_of(ours, PROMPT, new)
    assert new == expected.argmax(1).tolist()
    np.testing.assert_allclose(chances, expected, atol=0.12)


TEXT = "It's 12345 naïve  tests,\n\n\tISN'T it?  x = 'y' 日本語 😀\r\n end  "
CUTS: dict[str, list[Any]] = {
    "gpt-2": [AS_GPT_2],
    "smollm": [DIGITS, AS_GPT_2],
    "llama-bpe": [pre_tokenizers.Split(Regex(LLAMA_3), "isolated"), BYTES],
    "qwen2": [pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"), BYTES],
}


@pytest.mark.parametrize("cut", CUTS)
def test_llama_cpp_reads_text_as_the_tokenizer_does(write: Write, cut: str) -> None:
    pytest.importorskip("xllamacpp")
    tokenizer = byte_level_bpe(CUTS[cut], ALPHABET, size=600)
    project = write(
        some_model("llama", vocab_size=600), 16, "gguf", tokenizer=tokenizer
    )
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    found = llama.post("/tokenize", content=TEXT, add_special=True)["tokens"]
    assert found == tokenizer.encode(TEXT).ids


def test_a_tokenizer_that_llama_cpp_lacks_is_refused(write: Write) -> None:
    cuts = [pre_tokenizers.Whitespace(), AS_GPT_2]
    tokenizer = byte_level_bpe(cuts, ALPHABET, size=320)
    with pytest.raises(AssertionError, match="llama.cpp splits no text as"):
        write(some_model("llama"), 16, "gguf", tokenizer=tokenizer)


LLAMA_2 = Path(__file__).parents[3] / "shared/data/tokenizers/llama2_tokenizer.json"


@pytest.mark.skipif(not LLAMA_2.exists(), reason="no tokenizer of Llama 2 here")
def test_llama_cpp_reads_text_as_llama_2_does(write: Write) -> None:
    pytest.importorskip("xllamacpp")
    tokenizer = Tokenizer.from_file(str(LLAMA_2))
    model = some_model("llama", vocab_size=32000)
    project = write(model, 16, "gguf", tokenizer=tokenizer)
    llama = Llama(project / "artifacts" / "gguf" / "model.gguf")
    for text in (TEXT, Path(json.__file__).read_text()):
        found = llama.post("/tokenize", content=text, add_special=True)["tokens"]
        assert found == tokenizer.encode(text).ids
