"""A stage and what it may see -> the text of its script, and the packages it needs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leangen.generator.render.imports import (
    OWN_MODULES,
    imported_modules,
    select_imports,
)
from leangen.generator.render.literals import bare, literal

TEMPLATES = Path(__file__).parents[2] / "templates"
PYTHON = ">=3.11"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch without CUDA
TORCH_FILE = "requirements-torch.txt"
TORCH_FIRST = f"# torch without CUDA: {TORCH_FILE} first"
TORCH_ALONE = f"""\
# torch without CUDA, which PyPI lacks for Linux: before all else, and alone, since an
# index beside PyPI may serve no other package:
#     pip install --no-deps -r {TORCH_FILE}
--index-url {CPU_INDEX}
"""


@dataclass(frozen=True)
class Script:
    """A stage's script, and what `pip install -r` takes for it.

    torch: what pip takes before that, where torch comes from an index of its own.
    """

    code: str
    requirements: str
    torch: str = ""


@cache
def environment() -> Environment:
    """Set Jinja up so that templates are Python and values become literals."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=literal,
        block_start_string="#{%",
        block_end_string="%}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters["bare"] = bare
    return made


def render_module(name: str, view: SimpleNamespace, decisions: SimpleNamespace) -> str:
    """Render a template, with the imports that it turned out to need."""
    template = environment().get_template(f"{name}.py.j2")
    code = template.render(vars(view) | {"plan": decisions})
    return _below_docstring(code, select_imports(code, _read("imports.py")))


def render_script(
    name: str, view: SimpleNamespace, decisions: SimpleNamespace, module: str
) -> Script:
    """Render a script that runs alone, its dependencies in it as PEP 723 metadata.

    `module` is the code of the generated model.py, which the script may import.
    """
    code = render_module(name, view, decisions)
    pins = _pins(code, module)
    on_cpu = getattr(decisions, "device", "") == "cpu"
    torch = [pin for pin in pins if pin.startswith("torch==") and on_cpu]
    code = _below_docstring(code, _metadata(pins, CPU_INDEX if torch else ""))
    if not torch:
        return Script(code, _lines(pins))
    return Script(code, _lines([TORCH_FIRST, *pins]), TORCH_ALONE + _lines(torch))


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _pins(code: str, module: str) -> list[str]:
    """List the pinned packages that a script imports, by itself or through model.py."""
    modules = imported_modules(code)
    if modules & OWN_MODULES:
        modules |= imported_modules(module)
    pins = [line for line in _read("requirements.txt").splitlines() if "==" in line]
    return [pin for pin in pins if pin.partition("==")[0] in modules]


def _metadata(pins: list[str], index: str) -> str:
    """Write inline script metadata; with an index, uv takes torch from there."""
    lines = [f'requires-python = "{PYTHON}"', "dependencies = ["]
    lines += [f'    "{pin}",' for pin in pins] + ["]"]
    if index:
        lines += ["[tool.uv.sources]", 'torch = { index = "torch" }']
        lines += ["[[tool.uv.index]]", 'name = "torch"', f'url = "{index}"']
        lines += ["explicit = true"]
    return "\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///"])


@cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _below_docstring(code: str, text: str) -> str:
    """Insert a paragraph between a module's docstring and what follows it."""
    docstring, end, rest = code.partition('\n"""\n')
    return f"{docstring}{end}\n{text}\n{rest}"
