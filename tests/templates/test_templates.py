"""Templates are Python themselves: editors and linters read them as they are."""

import ast
import re
from pathlib import Path
from textwrap import dedent

import pytest

from leangen.spec.check.schema import field_at

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.mark.parametrize("path", [*TEMPLATES.rglob("*.py.j2")], ids=lambda p: p.stem)
def test_a_template_parses_without_any_spec(path: Path) -> None:
    ast.parse(dedent(path.read_text()))


@pytest.mark.parametrize("path", [*TEMPLATES.rglob("*.j2")], ids=lambda p: p.stem)
def test_no_template_trims_by_hand(path: Path) -> None:
    assert "{%-" not in path.read_text()
    assert "-%}" not in path.read_text()


@pytest.mark.parametrize("path", [*TEMPLATES.rglob("*.j2")], ids=lambda p: p.stem)
def test_a_statement_has_its_line_to_itself(path: Path) -> None:
    """So that the lines that a template writes can be numbered (render/origins.py)."""
    for line in path.read_text().splitlines():
        assert "{%" not in line or re.fullmatch(r" *#\{% .* %\}", line)
        assert "{{" not in line or "}}" in line.partition("{{")[2]


def test_every_part_is_used() -> None:
    """A stage's folder has its variants, which stages.py chooses, and parts of them."""
    texts = "".join(path.read_text() for path in TEMPLATES.rglob("*.j2"))
    known = field_at(("sparsity", "method"))["enum"]
    variants = {"train/tune", *(f"prune/{method}" for method in known)}
    variants |= {"instrument/onnx", "instrument/torch", "prune/structured"}
    variants |= {"recover/layers", "export/packed", "decoder/torch"}
    for path in TEMPLATES.rglob("*.j2"):
        name = path.relative_to(TEMPLATES).as_posix().partition(".")[0]
        if name.endswith("/script") or name in variants:
            continue
        prefixes = (name.rpartition("_")[0] + "_", name.rpartition("/")[0] + "/")
        ways = [f'"{name}.', *(f'"{prefix}" ~' for prefix in prefixes)]
        assert any(way in texts for way in ways), path
