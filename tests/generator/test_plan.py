"""The plan's figures, held against transformers and the files that export.py writes."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from leangen.generator.plan import plan
from leangen.spec import load, loads

EXAMPLES = sorted((Path(__file__).parents[2] / "spec" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_parameters_are_counted_as_transformers_counts_them(example: Path) -> None:
    spec = load(example)
    shape = {
        name: getattr(spec.model, name)
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "tie_word_embeddings",
        )
    }
    with torch.device("meta"):
        model = LlamaForCausalLM(
            LlamaConfig(vocab_size=spec.tokenizer.vocab_size, **shape)
        )
    assert plan(spec).parameters == model.num_parameters()


@pytest.mark.parametrize("name", ["pipeline", "bpe_pipeline"])
def test_exported_bytes_are_what_export_writes(name, request) -> None:
    folder = request.getfixturevalue(name)
    spec = load(folder.parents[1] / "spec.yaml")
    data = (folder / "artifacts" / "onnx" / "model.onnx.data").read_bytes()
    # Tensors start on pages; norms lie in the graph.
    norms = 4 * spec.model.hidden_size * (2 * spec.model.num_hidden_layers + 1)
    matrices = 7 * spec.model.num_hidden_layers + 1
    padding = 4096 * (2 * matrices + 1)
    assert 0 <= len(data) - (plan(spec).exported_bytes - norms) < padding


def test_a_smaller_budget_makes_smaller_micro_batches(pipeline) -> None:
    text = (pipeline.parents[1] / "spec.yaml").read_text()
    sizes = []
    for budget in ("4GiB", "519MiB", "517MiB"):
        changed = text.replace("context: 64}", f"context: 64, vram_budget: {budget}}}")
        sizes.append(
            plan(loads(changed, "spec.yaml")).decisions["train"]["micro_batch"]
        )
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 8
    assert sizes[-1] < 8
