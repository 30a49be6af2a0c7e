"""Layers that are computed again in the backward pass change the memory, not the weights."""

import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from leangen.generator.plan import plan
from leangen.spec import Spec, loads
from tests.conftest import built


def deep(text: str, **target: int) -> str:
    """Make the tiny spec deep, dense and short."""
    page = yaml.safe_load(text.replace("2:4", "dense"))
    page["model"]["num_hidden_layers"] = 12
    page["train"]["tokens"] = 2000
    page["target"] |= target
    del page["sparsity"]
    return yaml.safe_dump(page)


def decisions(spec: Spec) -> dict[str, object]:
    return dict(plan(spec).stages["train"].constants)


def test_recomputed_layers_give_the_same_weights(
    pipeline: Path, tmp_path: Path, run_here: Callable[[Path, str], str]
) -> None:
    tiny = (pipeline.parents[1] / "spec.yaml").read_text()
    needed = plan(loads(deep(tiny))).stages["train"].peak_bytes
    texts = {"kept": deep(tiny), "again": deep(tiny, vram_budget=needed - 1)}
    decided = {name: decisions(loads(text)) for name, text in texts.items()}
    assert decided["again"] == decided["kept"] | {"checkpointing": True}
    trained = {}
    for name, text in texts.items():
        root = tmp_path / name
        root.mkdir()
        (root / "spec.yaml").write_text(text)
        folder = built(root / "spec.yaml")
        code = (folder / "train.py").read_text()
        assert ("checkpoint_layers(model)" in code) == (name == "again")
        shutil.copytree(pipeline / "artifacts" / "data", folder / "artifacts" / "data")
        assert run_here(folder, "train") == ""
        weights = Path("artifacts", "dense", "model.safetensors")
        trained[name] = (folder / weights).read_bytes()
    assert trained["kept"] == trained["again"]
