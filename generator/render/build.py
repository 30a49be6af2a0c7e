"""Spec -> the text of every generated file: a pure function."""

from types import SimpleNamespace

from leangen.generator import lock
from leangen.generator.plan import plan
from leangen.generator.render import plan_json
from leangen.generator.render.hashes import with_hashes
from leangen.generator.render.script import TORCH_FILE, render_module, render_script
from leangen.generator.stages import select, stages_of
from leangen.spec import Spec

GITATTRIBUTES = f"* text eol=lf\n{lock.NAME} linguist-generated=true\n"
GITIGNORE = ".*.partial\n__pycache__/\nartifacts/\n"


def build(spec: Spec, hashes: bool = False) -> dict[str, str]:
    """Render all files of a spec, the lock last: name -> text."""
    planned = plan(spec)
    files = {".gitattributes": GITATTRIBUTES, ".gitignore": GITIGNORE}
    files[plan_json.NAME] = plan_json.snapshot(spec, planned)
    module = ""
    for stage in sorted(stages_of(spec), key=lambda stage: stage.runs):
        view = select(spec, stage.fields)
        if stage.runs:
            decisions = SimpleNamespace(**planned.stages[stage.name].constants)
            script = render_script(stage.name, view, decisions, module)
            files[stage.script] = script.code
            files[f"requirements-{stage.name}.txt"] = script.requirements
            if script.torch:
                files[TORCH_FILE] = script.torch
        else:
            module = render_module(stage.name, view, SimpleNamespace())
            files[stage.script] = module
    if hashes:
        files |= with_hashes(files)
    for name, text in files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    return files | {lock.NAME: lock.format_lock(files)}
