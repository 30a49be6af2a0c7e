"""cli imports generator, generator imports spec, and nothing imports upwards."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {"spec": {"spec"}, "generator": {"generator", "spec"}}
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "typer"}


def imports(layer: str) -> list[tuple[Path, str]]:
    found = []
    for path in (ROOT / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.append((path, node.module or "."))
            elif isinstance(node, ast.Import):
                found += [(path, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_no_upward_import(layer: str) -> None:
    for path, module in imports(layer):
        package, _, rest = module.partition(".")
        assert package != ".", f"{path}: a relative import"
        if package == "leangen":
            assert rest.split(".")[0] in MAY_IMPORT[layer], path


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_no_heavy_import(layer: str) -> None:
    for path, module in imports(layer):
        assert module.partition(".")[0] not in HEAVY, path
