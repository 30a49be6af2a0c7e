"""The transcripts are what the commands print: LEANGEN_GOLDEN=1 writes them again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("templates/*.md")]
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
SPEC = re.compile(r"(?<=```yaml\n).*?(?=```)", re.DOTALL)


def transcript(commands: list[str], folder: Path) -> str:
    (folder / "bin").mkdir()
    tool = folder / "bin" / "leangen"
    tool.write_text(f"#!{sys.executable}\nfrom leangen.cli import main\nmain()\n")
    tool.chmod(0o755)
    env = os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
    text = ""
    for command in commands:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=env,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        text += f"$ {command}\n{done.stdout}"
    return text


@pytest.mark.parametrize("name", ["README.md", "docs/plan.md"])
def test_a_transcript_is_what_the_commands_print(name: str, tmp_path: Path) -> None:
    """A YAML block before it is the spec.yaml that it speaks of."""
    text = (ROOT / name).read_text()
    for spec in SPEC.findall(text):
        (tmp_path / "spec.yaml").write_text(spec)
    (shown,) = BLOCK.findall(text)
    commands = [line[2:] for line in shown.splitlines() if line.startswith("$ ")]
    actual = transcript(commands, tmp_path)
    if "LEANGEN_GOLDEN" in os.environ:
        (ROOT / name).write_text(BLOCK.sub(lambda _: actual, text))
    else:
        assert actual == shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_links_of_the_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target
