"""Paths start at the spec, and scripts that are built from it hold no path of a machine."""

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Leangen = Callable[..., subprocess.CompletedProcess[str]]
PAGE = """\
leangen: 1
name: tiny
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 64
target: {hardware: x86-2core, context: 64}
data: {source: text, path: ["%s"]}
"""


def texts_of(root: Path, leangen: Leangen, spec: str, glob: str, cwd: str = ".") -> str:
    """Build a spec from a folder; return the globs of its data.py, or the error."""
    file = root / spec
    file.parent.mkdir(parents=True, exist_ok=True)
    (root / cwd).mkdir(parents=True, exist_ok=True)
    file.write_text(PAGE % glob)
    done = leangen("build", file, cwd=root / cwd)
    if done.returncode:
        return str(done.stderr)
    code = (root / cwd / "generated" / "tiny" / "data.py").read_text()
    assert str(root) not in code
    named = [node for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    (globs,) = (n.value for n in named if ast.unparse(n.targets[0]) == "TEXT")
    (found,) = ast.literal_eval(globs)
    return str(found)


@pytest.mark.parametrize(
    ("spec", "cwd", "glob", "found"),
    [
        ("spec.yaml", ".", "corpus/*.txt", "corpus/*.txt"),
        ("spec.yaml", ".", "./../corpus/**/x", "./../corpus/**/x"),
        ("specs/a.yaml", ".", "corpus/*.txt", "specs/corpus/*.txt"),
        ("specs/a.yaml", ".", "../corpus/*.txt", "corpus/*.txt"),
        ("specs/a.yaml", ".", "./.././../*.txt", "../*.txt"),
        ("specs/deep/a.yaml", ".", "../b/../*.txt", "specs/b/../*.txt"),
        ("odd*name/a.yaml", ".", "*.txt", "odd[*]name/*.txt"),
        ("specs/a.yaml", ".", "/corpus/*.txt", "/corpus/*.txt"),
        ("spec.yaml", "below", "*.txt", "../*.txt"),
        ("specs/a.yaml", "below", "../*.txt", "../*.txt"),
    ],
)
def test_a_glob_starts_at_the_spec(
    spec: str, cwd: str, glob: str, found: str, tmp_path: Path, leangen: Leangen
) -> None:
    assert texts_of(tmp_path, leangen, spec, glob, cwd) == found


def test_a_spec_that_scripts_cannot_find_is_refused(
    tmp_path: Path, leangen: Leangen
) -> None:
    found = texts_of(tmp_path, leangen, "specs/a.yaml", "*.txt", cwd="below")
    assert "a.yaml:11:29: data.path[0]: starts at the spec, which the scripts" in found
    assert f"it is not in {tmp_path / 'below'}\n" in found
    assert f"such as {tmp_path / 'specs' / 'generated'}, or write" in found


def test_a_script_is_the_same_wherever_the_project_lies(
    tmp_path: Path, leangen: Leangen
) -> None:
    for place in ("here", "there/and/deeper"):
        glob = texts_of(tmp_path / place, leangen, "specs/a.yaml", "../*.txt")
        assert glob == "*.txt"
