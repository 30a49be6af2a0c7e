"""The packages that a script needs: as inline metadata, and for pip."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from leangen.generator.render.imports import imported_modules
from leangen.generator.render.templates import read_template

PYTHON = ">=3.11"
STARTED = re.compile(r'\[sys\.executable, FOLDER / "(\w+)\.py"\]')
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch without CUDA
# What a package asks for and nothing in the scripts reaches: tokenizers imports its client
# of the Hub where a tokenizer is downloaded.
UNREACHED = {"tokenizers": "huggingface-hub"}
TORCH_FILE = "requirements-torch.txt"
TORCH_FIRST = f"# torch without CUDA: {TORCH_FILE} first"
TORCH_ALONE = f"""\
# torch without CUDA, which PyPI lacks for Linux: before all else, and alone, since an
# index beside PyPI may serve no other package:
#     pip install --no-deps -r {TORCH_FILE}
--index-url {CPU_INDEX}
"""


def closure(codes: Mapping[str, str], script: str) -> set[str]:
    """Name the packages that a script imports, by itself or through modules beside it.

    What it starts as a process of its own counts, too.
    """
    found, outside = [script], set[str]()
    for name in found:  # which grows on the way
        modules = imported_modules(codes[name]) | {*STARTED.findall(codes[name])}
        beside = {module for module in modules if f"{module}.py" in codes}
        found += [f"{m}.py" for m in sorted(beside) if f"{m}.py" not in found]
        outside |= modules - beside
    return outside


@cache
def _all_pins() -> tuple[str, ...]:
    lines = read_template("requirements.txt").splitlines()
    return tuple(line for line in lines if "==" in line)


def packages() -> set[str]:
    """Name the packages that are pinned: so their modules are named, too."""
    return {pin.partition("==")[0] for pin in _all_pins()}


def pins(wanted: set[str]) -> list[str]:
    """List the pinned requirements of some packages."""
    return [pin for pin in _all_pins() if pin.partition("==")[0] in wanted]


def _torch(needed: Sequence[str], on_cpu: bool) -> list[str]:
    """Give the pin of torch where it comes from an index of its own."""
    return [pin for pin in needed if pin.startswith("torch==") and on_cpu]


def requirement_files(
    stage: str, needed: Sequence[str], on_cpu: bool
) -> dict[str, str]:
    """Write what `pip install -r` takes for a stage, torch's own file included."""
    torch = _torch(needed, on_cpu)
    name = f"requirements-{stage}.txt"
    if not torch:
        return {name: _lines(needed)}
    return {
        name: _lines([TORCH_FIRST, *needed]),
        TORCH_FILE: TORCH_ALONE + _lines(torch),
    }


def metadata(needed: Sequence[str], on_cpu: bool) -> str:
    """Write inline script metadata; with an index, uv takes torch from there."""
    lines = [f'requires-python = "{PYTHON}"', "dependencies = ["]
    lines += [f'    "{pin}",' for pin in needed] + ["]"]
    for package, unreached in UNREACHED.items():
        if any(pin.startswith(f"{package}==") for pin in needed):
            why = f"# {package}' downloader, never called"
            lines += ["[tool.uv]", f'exclude-dependencies = ["{unreached}"]  {why}']
    if _torch(needed, on_cpu):
        lines += ["[tool.uv.sources]", 'torch = { index = "torch" }']
        lines += ["[[tool.uv.index]]", 'name = "torch"', f'url = "{CPU_INDEX}"']
        lines += ["explicit = true"]
    return "\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///"])


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
