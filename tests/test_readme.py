"""The README's transcript is what the commands print: LEANGEN_GOLDEN=1 writes it again."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


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


def test_the_transcript_is_what_the_commands_print(tmp_path: Path) -> None:
    readme = README.read_text()
    (shown,) = BLOCK.findall(readme)
    commands = [line[2:] for line in shown.splitlines() if line.startswith("$ ")]
    actual = transcript(commands, tmp_path)
    if "LEANGEN_GOLDEN" in os.environ:
        README.write_text(BLOCK.sub(lambda _: actual, readme))
    else:
        assert actual == shown


def test_the_links_of_the_documents_lead_somewhere() -> None:
    root = README.parent
    for document in [
        *root.glob("*.md"),
        *root.glob("docs/*.md"),
        *root.glob("templates/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
