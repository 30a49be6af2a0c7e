"""Templates are Python themselves: editors and linters read them as they are."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.mark.parametrize("path", [*TEMPLATES.rglob("*.py.j2")], ids=lambda p: p.stem)
def test_a_template_parses_without_any_spec(path: Path) -> None:
    ast.parse(dedent(path.read_text()))


@pytest.mark.parametrize("path", [*TEMPLATES.rglob("*.j2")], ids=lambda p: p.stem)
def test_no_template_trims_by_hand(path: Path) -> None:
    assert "{%-" not in path.read_text()
    assert "-%}" not in path.read_text()


def test_every_fragment_is_used() -> None:
    texts = "".join(path.read_text() for path in TEMPLATES.rglob("*.j2"))
    for path in (TEMPLATES / "fragments").iterdir():
        stem = path.name.partition(".")[0]
        prefix = stem.rpartition("_")[0]
        assert f"/{stem}." in texts or f"/{prefix}_" in texts, path
