"""A script with the cost of each import beside it."""

from collections.abc import Mapping
from itertools import groupby

from leangen.generator.audit.cost import known_sizes, probe
from leangen.generator.audit.imports import reached
from leangen.generator.audit.stages import scripts_of
from leangen.generator.environments.locked import locked
from leangen.generator.environments.make import python_of
from leangen.generator.project import Project
from leangen.generator.render.requirements import TORCH_FILE
from leangen.generator.report.answer import Answer
from leangen.generator.run.jobs import environment_of
from leangen.spec import LeangenError

MEGA = 1_000_000


def annotated(project: Project, stage: str, *, offline: bool) -> Answer:
    """Print the script of a stage with the cost beside each import that has one."""
    names = [each.name for each in scripts_of(project)]
    if stage not in names:
        raise LeangenError.of(
            f"there is no stage {stage!r} in this spec",
            remedy=f"choose one of {', '.join(names)}",
            code="unknown-stage",
        )
    script = f"{stage}.py"
    notes = _notes(project, script, offline=offline)
    lines = project.files[script].splitlines()
    for number, note in notes.items():
        lines[number - 1] += f"  # {note}" if note else ""
    facts = {"name": project.spec.name, "lines": {str(n): notes[n] for n in notes}}
    return Answer("\n".join(lines) + "\n", [facts])


def _notes(project: Project, script: str, *, offline: bool) -> Mapping[int, str]:
    """Say of each line that imports packages what it is the first to bring."""
    found = groupby(reached(project.files, script), key=lambda pair: pair[0])
    lines = {number: [module for _, module in pairs] for number, pairs in found}
    notes, before = {}, set[str]()
    for number, modules in lines.items():
        roots = before | {module.partition(".")[0] for module in modules}
        notes[number] = _brings(project, before, roots)
        before = roots
    if offline:
        return notes
    groups = [[f"import {module}" for module in modules] for modules in lines.values()]
    probed = probe(python_of(environment_of(project.files, script)), groups)
    return {
        number: f"{note}{'; ' if note else ''}{seconds:.2f} s, {added / MEGA:.1f} MB of memory"
        for (number, note), (seconds, added) in zip(
            notes.items(), probed.loaded, strict=True
        )
    }


def _brings(project: Project, before: set[str], after: set[str]) -> str:
    """Say which packages come in, and their size, where another import has not brought them."""
    alone = TORCH_FILE in project.files
    old, new = (locked(sorted(roots), torch_alone=alone) for roots in (before, after))
    sizes = known_sizes(new)
    names = new.names - old.names
    if sizes is None or not names:
        return ""
    size = sum(s for pin, s in sizes.items() if pin.partition("==")[0] in names)
    kinds = "package" if len(names) == 1 else "packages"
    return f"{len(names)} {kinds}, {size / MEGA:.1f} MB"
