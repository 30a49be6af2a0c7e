"""Spec -> the text of every generated file: a pure function."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from leangen.generator import lock
from leangen.generator.plan import Plan
from leangen.generator.plan.step import sequence_length
from leangen.generator.render import plan_json
from leangen.generator.render.given import given_files
from leangen.generator.render.hashes import with_hashes
from leangen.generator.render.requirements import (
    closure,
    metadata,
    pins,
    requirement_files,
)
from leangen.generator.render.script import below_docstring, render
from leangen.generator.stages import makers_of, stages_of
from leangen.generator.stages.artifacts import (
    aim_of,
    calibrated,
    calibration_of,
    checkpoints_of,
    exported_from,
    measured_of,
    measured_texts,
    pruned_of,
    splits_of,
    whole_of,
)
from leangen.generator.stages.traits import (
    chats,
    has_zeros,
    on_grid,
    packs,
    reads_calibration,
    rewind_of,
    rounds_cache,
    shares_steps,
)
from leangen.spec import Spec

GITATTRIBUTES = f"* text eol=lf\n{lock.NAME} linguist-generated=true\n"
GITIGNORE = ".*.partial\n__pycache__/\nartifacts/\n"


def build(spec: Spec, planned: Plan, hashes: bool = False) -> dict[str, str]:
    """Render all files of a spec and its plan, the lock last: name -> text.

    Those that are ejected are rendered, too, and the lock does not know them.
    """
    files = {".gitattributes": GITATTRIBUTES, ".gitignore": GITIGNORE}
    files[plan_json.NAME] = plan_json.snapshot(spec, planned)
    files |= given_files(spec)
    files |= _scripts(spec, planned)
    if hashes:
        files |= with_hashes(files)
    kept = {name: text for name, text in files.items() if name not in spec.ejected}
    return files | {lock.NAME: lock.format_lock(kept)}


def _folder(spec: Spec) -> dict[str, object]:
    """Give what all files of a folder see alike: which others there are."""
    given = spec.model.checkpoint
    layer_types = spec.given and "layer_types" in spec.given.config
    return {
        "made_by": makers_of(spec),
        "checkpoints": checkpoints_of(spec),
        "models": measured_of(spec),
        "dense": "the checkpoint" if given else "artifacts/dense/",
        "exported": exported_from(spec),
        "aim": aim_of(spec),
        "quantizes": on_grid(spec),
        "has_zeros": has_zeros(spec),
        "rewind": rewind_of(spec),
        "whole": whole_of(spec),
        "pruned": pruned_of(spec),
        "shrinks": spec.sparsity.shrinks,
        "dense_sizes": spec.model,
        "layer_types": layer_types and spec.sparsity.layers is not None,
        "checkpoint": f"../../{given}" if given and given[0] != "/" else given,
        "splits": splits_of(spec),
        "texts": measured_texts(spec),
        "reads_calibration": reads_calibration(spec),
        "calibrated": calibrated(spec) if reads_calibration(spec) else "",
        "rounds_cache": rounds_cache(spec),
        "packs": packs(spec),
        "shares_steps": shares_steps(spec),
        "calibration": calibration_of(spec),
        "chat": chats(spec),
        "special": spec.given.special if spec.given else {},
        "sequence_length": sequence_length(spec),
    }


Found = tuple[str, Mapping[str, Any]]  # a template, and what it sees


def templates_of(spec: Spec, planned: Plan) -> dict[str, Found]:
    """Name the template of each script and module, and give what it sees."""
    folder, found = _folder(spec), dict[str, Found]()
    shown = replace(spec, model=spec.pruned)  # what most of the folder is about
    for stage in stages_of(spec):
        view = vars(_select(shown, stage.fields)) | {"folder": folder}
        seen = [n for n in stage.part_of or (stage.name,) if n in planned.stages]
        if seen:
            decided = planned.stages[seen[0]].constants
            view["plan"] = SimpleNamespace(**decided)
        found[stage.script] = f"{stage.name}/{stage.variant(spec)}", view
    return found


def _scripts(spec: Spec, planned: Plan) -> dict[str, str]:
    """Render scripts and modules, and what pip takes for each script."""
    templates = templates_of(spec, planned)
    if spec.parts.texts:
        codes = _own(spec, templates)
    else:
        codes = {script: render(*found) for script, found in templates.items()}
    files = dict(codes)
    on_cpu = spec.train.hardware.kind == "cpu"
    for stage in stages_of(spec):
        if stage.runs or stage.by_hand:
            needed = pins(closure(codes, stage.script))
            header = metadata(needed, on_cpu)
            files[stage.script] = below_docstring(codes[stage.script], header)
            files |= requirement_files(stage.name, needed, on_cpu)
    return files


def _own(spec: Spec, templates: Mapping[str, Found]) -> dict[str, str]:
    """Render files among whose templates are some of the author's."""
    from leangen.generator.render import own  # few have any

    own.require_templates(spec)
    codes = {
        file: own.render_own(spec, file, found) for file, found in templates.items()
    }
    own.require_packages(spec, codes, templates)
    return codes


def _select(spec: Spec, paths: tuple[str, ...]) -> SimpleNamespace:
    """Copy the named parts of a spec, and its name, and nothing else of it."""
    chosen = SimpleNamespace(name=spec.name)
    for path in paths:
        source: object = spec
        view = chosen
        *sections, leaf = path.split(".")
        for section in sections:
            source = getattr(source, section)
            if not hasattr(view, section):
                setattr(view, section, SimpleNamespace())
            view = getattr(view, section)
        setattr(view, leaf, getattr(source, leaf))
    return chosen
