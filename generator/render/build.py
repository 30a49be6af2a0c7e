"""Spec -> the text of every generated file: a pure function."""

from types import SimpleNamespace

from leangen.generator import lock
from leangen.generator.plan import Plan
from leangen.generator.render import plan_json
from leangen.generator.render.script import render_module, render_script
from leangen.generator.stages import select, stages_of
from leangen.spec import Spec

GITATTRIBUTES = f"* text eol=lf\n{lock.NAME} linguist-generated=true\n"
GITIGNORE = ".*.partial\n__pycache__/\nartifacts/\n"


def build(spec: Spec, planned: Plan) -> dict[str, str]:
    """Render all files of a spec and its plan, the lock last: name -> text."""
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
        else:
            module = render_module(stage.name, view, SimpleNamespace())
            files[stage.script] = module
    for name, text in files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    return files | {lock.NAME: lock.format_lock(files)}
