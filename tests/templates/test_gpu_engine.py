"""The engine of a GPU, its kernels replaced by what they compute: beside transformers.

What the CUDA source itself computes is compared on a card (benchmarks/kernels.py); here it
is compiled, where NVIDIA's compiler is installed, and its layout held against the manual's.
"""

import ctypes
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import built
from tests.templates.conftest import write_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
PAGE = """
leangen: 1
name: {name}
model: {{checkpoint: ./{model}}}
data: {{source: text, path: text.txt}}
sparsity: {sparsity}
quantization: {{weights: {bits}{group}}}
target: {{hardware: h200, context: 128}}
serve: {{engine: torch}}
"""
TWO_OF_FOUR = "{pattern: '2:4', method: magnitude}"
WITHOUT_TWO = "{pattern: '2:4', method: magnitude, exempt: [0, v_proj]}"
ON_CPU = """

DEVICE = "cpu"
torch.cuda.is_available = lambda: True


def require_gpu() -> None:
    pass


def peak_device_bytes() -> int:
    return 1
"""
STAND_INS = Path(__file__).with_name("kernels_in_torch.py").read_text()
RECORD = "    def record(self)"
REPLAYED = """    def record(self):
        return SimpleNamespace(replay=self.step)

    def recorded(self)"""
PROMPT = list(range(40, 97))
Modules = Callable[[Path], SimpleNamespace]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small random Llamas, their head tied and not, in widths that no unit divides."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "text.txt").write_text(Path(ctypes.__file__).read_text())
    for name, tied in (("tied", True), ("untied", False)):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=323,
            hidden_size=160,
            intermediate_size=352,
            num_hidden_layers=2,
            num_attention_heads=10,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.1,
            tie_word_embeddings=tied,
            dtype="bfloat16",
        )
        model = transformers.LlamaForCausalLM(config).bfloat16()
        model.save_pretrained(root / name)
        write_tokenizer(root / name)
    return root


def packed(
    models: Path, run_here: Callable[[Path, str], str], name: str, **page: Any
) -> Path:
    """Build a folder for a GPU, let it run without one, and export."""
    (models / f"{name}.yaml").write_text(PAGE.format(name=name, **page))
    folder = built(models / f"{name}.yaml")
    with (folder / "tensors.py").open("a") as file:
        file.write(ON_CPU)
    with (folder / "kernels.py").open("a") as file:
        file.write("\n\n" + STAND_INS)
    script = (folder / "decoder.py").read_text().replace(RECORD, REPLAYED)
    script = script.replace('DEVICE = "cuda"', 'DEVICE = "cpu"')
    script = script.replace("\nimport json\n", "\nimport json\nfrom types import SimpleNamespace\n")
    script = script.replace("causal_lower_right(len(tokens), end)", "lower_right(len(tokens), end)")
    script += "\n\ndef lower_right(T, end):\n    return torch.ones(T, end).bool().tril(end - T)\n"
    (folder / "decoder.py").write_text(script)
    if page["sparsity"] != "{pattern: dense}":
        assert run_here(folder, "prune") == ""
    assert run_here(folder, "export") == ""
    return folder


def as_exported(folder: Path, ours: SimpleNamespace) -> Any:
    """Load the checkpoint before the export in transformers, its matrices rounded in float32."""
    source = "sparse" if (folder / "artifacts" / "sparse").exists() else "dense"
    weights = ours.checkpoint.open_checkpoint(source)
    model = transformers.LlamaForCausalLM.from_pretrained(weights.folder).float().eval()
    for name, parameter in model.named_parameters():
        head = name == "lm_head.weight" or model.config.tie_word_embeddings
        if ours.architecture.is_pruned(name) or (head and parameter.dim() == 2):
            if hasattr(ours, "rounding"):
                middle = 2 ** (ours.rounding.bits_of(name) - 1)
                parts = [
                    ((levels - np.float32(middle)) * scales[..., None]).reshape(len(levels), -1)
                    for levels, scales in ours.rounding.rounded(weights, name)
                ]
                parameter.data = torch.from_numpy(np.concatenate(parts))
            else:
                parameter.data = parameter.data.bfloat16().float()
    return model


CASES = [
    ("tied", 4, TWO_OF_FOUR),
    ("tied", 8, "{pattern: dense}"),
    ("untied", 4, WITHOUT_TWO),
    ("untied", 16, TWO_OF_FOUR),
    ("tied", 16, "{pattern: dense}"),
]


@pytest.mark.parametrize(("model", "bits", "sparsity"), CASES)
def test_the_logits_are_transformers(
    model: str,
    bits: int,
    sparsity: str,
    models: Path,
    modules: Modules,
    run_here: Callable[[Path, str], str],
) -> None:
    name = f"{model}-{bits}-{len(sparsity)}"
    group = ", group_size: 32" if bits < 16 else ""
    page = {"model": model, "bits": bits, "group": group, "sparsity": sparsity}
    folder = packed(models, run_here, name, **page)
    ours = modules(folder)
    decoder = ours.decoder.Decoder()
    reference = as_exported(folder, ours)
    with torch.no_grad():
        expected = reference(torch.tensor([PROMPT])).logits[0].numpy()
    at_once = decoder.forward(PROMPT, range(len(PROMPT)))
    decoder.length = 0
    one_by_one = np.concatenate([decoder.forward([t], [0]).copy() for t in PROMPT])
    for found in (at_once, one_by_one):
        assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.02
    decoder.length = 20  # the server keeps what two prompts share
    again = decoder.forward(PROMPT[20:], [len(PROMPT) - 21])
    np.testing.assert_allclose(again[0], at_once[-1], atol=0.05 * np.abs(expected).max())
    sparse = sparsity != "{pattern: dense}"
    assert decoder.zeros == pytest.approx(0.5 if sparsity == TWO_OF_FOUR else decoder.zeros, abs=0.02)
    assert any(layer.down.sparse for layer in decoder.layers) == sparse
    planned = ours.artifacts.FOLDER / "plan.json"
    assert planned.exists()
