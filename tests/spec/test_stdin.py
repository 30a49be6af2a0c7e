"""`-` is a spec on standard input, which can be read once: its places are kept."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from leangen.cli import main; main()"]
DEMO = Path(__file__).parents[2] / "spec" / "examples" / "demo.yaml"
PLAIN = DEMO.read_text().replace("out_of_sample", "# out_of_sample")


def piped(*arguments: str, text: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=text,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_build_and_check_take_a_spec_from_a_pipe(tmp_path: Path) -> None:
    assert piped("build", "-", text=PLAIN, cwd=tmp_path).returncode == 0
    done = piped("check", "-", text=PLAIN, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "generated/demo: up to date\n")


@pytest.mark.parametrize("verb", ["plan", "build", "check", "diff"])
def test_what_the_plan_finds_points_into_the_pipe(verb: str, tmp_path: Path) -> None:
    small = PLAIN.replace("vram_budget: 2GiB", "vram_budget: 90MiB")
    done = piped(verb, "-", text=small, cwd=tmp_path)
    assert done.returncode == 2
    line = small[: small.index("vram_budget: 90MiB")].count("\n") + 1
    assert f"<stdin>:{line}:16: target.vram_budget: train does not fit" in done.stderr
    assert f"{line:>5} |   vram_budget: 90MiB" in done.stderr


def test_what_is_wrong_in_a_pipe_is_said_as_of_a_file(tmp_path: Path) -> None:
    done = piped("plan", "-", text="leangen: 2\n", cwd=tmp_path)
    assert "<stdin>:1:10: leangen: 2 is not allowed\n" in done.stderr
    large = piped("plan", "-", text="#" * (1 << 20) + "\n", cwd=tmp_path)
    assert large.stderr == "<stdin>: is over 1 MiB: not a spec\n"


def test_a_checkpoint_of_a_pipe_is_looked_for_from_here(tmp_path: Path) -> None:
    page = "leangen: 1\nname: x\nmodel: {checkpoint: here}\n"
    page += "target: {hardware: h200, context: 128}\n"
    done = piped("plan", "-", text=page, cwd=tmp_path)
    assert "here/config.json cannot be read" in done.stderr


def test_a_closed_pipe_is_an_error(tmp_path: Path) -> None:
    command = (
        f'exec "{sys.executable}" -c "from leangen.cli import main; main()" plan -'
    )
    done = subprocess.run(
        ["sh", "-c", f"{command} <&-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "<stdin>: cannot be read: it is closed\n"
