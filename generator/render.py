"""A stage and what it may see -> the text of its script."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leangen.generator.imports import OWN_MODULES, imported_modules, select_imports
from leangen.generator.literals import bare, literal

TEMPLATES = Path(__file__).parents[1] / "templates"
PYTHON = ">=3.11"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch without CUDA


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


@cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def render_module(name: str, view: SimpleNamespace, decisions: SimpleNamespace) -> str:
    """Render a template, with the imports that it turned out to need."""
    template = environment().get_template(f"{name}.py.j2")
    code = template.render(vars(view) | {"plan": decisions})
    imports = select_imports(code, _read("imports.py"))
    return _below_docstring(code, imports)


def render_script(
    name: str, view: SimpleNamespace, decisions: SimpleNamespace, module: str
) -> str:
    """Render a script that runs alone: with its dependencies as inline metadata (PEP 723)."""
    code = render_module(name, view, decisions)
    needs = requirements(code, module)
    lines = [f'requires-python = "{PYTHON}"', "dependencies = ["]
    lines += [f'    "{need}",' for need in needs] + ["]"]
    if uses_cpu_torch(needs, decisions):
        lines += [
            "[tool.uv.sources]",
            'torch = { index = "cpu" }',
            "[[tool.uv.index]]",
            f'name = "cpu"\nurl = "{CPU_INDEX}"\nexplicit = true',
        ]
    text = "\n".join(lines).splitlines()
    block = "\n".join(["# /// script", *(f"# {line}" for line in text), "# ///"])
    return _below_docstring(code, block)


def requirements(code: str, module: str) -> list[str]:
    """List the pinned packages that a script needs, with those of the module it imports."""
    modules = imported_modules(code)
    if modules & OWN_MODULES:
        modules |= imported_modules(module)
    pins = [line for line in _read("requirements.txt").splitlines() if "==" in line]
    return [pin for pin in pins if pin.partition("==")[0] in modules]


def uses_cpu_torch(needs: list[str], decisions: SimpleNamespace) -> bool:
    """Whether a script needs torch, and runs on a CPU: then CUDA would be dead weight."""
    torch = any(need.startswith("torch==") for need in needs)
    return torch and getattr(decisions, "device", "") == "cpu"


def requirements_file(needs: list[str], decisions: SimpleNamespace) -> str:
    """Write the same requirements for pip."""
    index = (
        [f"--extra-index-url {CPU_INDEX}"] if uses_cpu_torch(needs, decisions) else []
    )
    return "".join(f"{line}\n" for line in index + needs)


def _below_docstring(code: str, text: str) -> str:
    """Insert a paragraph between a module's docstring and what follows it."""
    docstring, end, rest = code.partition('\n"""\n')
    return f"{docstring}{end}\n{text}\n{rest}"
