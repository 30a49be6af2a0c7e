"""A first spec for a checkpoint: the bits and the context that fit, as the plan says."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from itertools import islice
from pathlib import Path

from leangen.generator.disk import create
from leangen.generator.plan import plan
from leangen.generator.plan.suggest import suggestions
from leangen.generator.plan.table import table
from leangen.generator.render.not_yet import not_yet
from leangen.generator.report.answer import Answer
from leangen.generator.report.fit_table import fit_table
from leangen.generator.report.over_budget import excesses, remedy_of
from leangen.spec import LeangenError, Spec, loads, machines, vary

CONTEXTS = (4096, 2048, 1024, 512, 256)  # tokens; more is the author's wish
BITS = (8, 4)  # the most that fit that context
GROUP_SIZES = (32, 16)  # the first that divides the widths
SHORTEST = 16  # tokens of context, to look at the model with
UNNAMED = "model"
PLAIN = re.compile(r"\.{0,2}/[A-Za-z0-9_./-]+")  # what YAML reads as it stands
PAGE = """\
leangen: 1
name: {name}
model: {{checkpoint: {checkpoint}}}
target: {{hardware: {hardware}, context: {context}}}
{serve}
"""
ON_GPU = "# serve: {device: cpu} # without it, torch serves on the GPU"
ON_CPU = "serve: {device: cpu} # where the generated server computes"


def start(checkpoint: Path, file: Path, hardware: str) -> Answer:
    """Write a spec for a checkpoint, and tell what fits."""
    spec, page = starter(checkpoint, file, hardware)
    create(file, page)
    planned, rows = plan(spec), table(spec)
    chosen = f"{spec.quantization.weights} bits, a context of {spec.target.context}"
    text = fit_table(planned, rows, as_markdown=False)
    text += f"\nwrote {file}: {chosen}; next: leangen build {file}\n"
    return Answer(text, [{"file": str(file), "fit": list(map(vars, rows))}])


def starter(checkpoint: Path, file: Path, hardware: str) -> tuple[Spec, str]:
    """Find what fits for a checkpoint; return it, and the page that says so.

    Raises LeangenError where the folder has no model that can be built, or none fits.
    """
    if hardware not in machines():
        raise LeangenError.of(
            f"there is no hardware {hardware!r}",
            remedy="choose one that leangen list hardware names",
            code="unknown-hardware",
        )
    named = {"name": _name(checkpoint), "hardware": hardware}
    here = _in_yaml(checkpoint.as_posix())
    try:
        spec, serve = _served(PAGE, checkpoint=here, context=SHORTEST, **named)
    except LeangenError as error:  # there is no file to point into
        found = (replace(d, file="", line=0, path="") for d in error.diagnostics)
        raise LeangenError(found, error.exit_code) from None
    *several, last = (str(bits) for bits in spec.engine.weights if bits >= min(BITS))
    chosen = {
        "bits": f"{', '.join(several)} or {last}",
        "checkpoint": _in_yaml(_way(checkpoint, file)),
        "weights": spec.quantization.weights,
        "group_size": spec.quantization.group_size,
        "context": spec.target.context,
        "serve": serve,
    }
    page = files("leangen.spec").joinpath("checkpoint.yaml").read_text("utf-8")
    return spec, page.format(**named, **chosen)


def _served(page: str, **named: object) -> tuple[Spec, str]:
    """Find what fits: on a GPU if its engine takes the model, else on the CPU."""
    seen = loads(page.format(serve=ON_GPU, **named))
    if seen.serve.device == "cuda" and any(_candidates(seen)):
        return _fitting(seen), ON_GPU
    return _fitting(loads(page.format(serve=ON_CPU, **named))), ON_CPU


def _fitting(seen: Spec) -> Spec:
    """Choose the first candidate that every stage has room for."""
    for _, what, instead in not_yet(seen):
        raise LeangenError.of(
            f"{what} can be planned and not be built yet",
            remedy=f"built can be {instead}",
            code="not-yet",
        )
    candidates = list(_candidates(seen))
    if not candidates:
        sizes = " nor ".join(map(str, GROUP_SIZES))
        raise LeangenError.of(
            f"neither {sizes} divide the widths of this model",
            remedy="write a spec with quantization.weights: 16",
            code="group-size",
        )
    fitting = next((spec for spec in candidates if plan(spec).fits), None)
    if fitting:
        return fitting
    planned = plan(candidates[-1])
    remedy = remedy_of(suggestions(candidates[-1], planned))
    raise LeangenError(excesses(candidates[-1], planned, remedy))


def _candidates(seen: Spec) -> Iterator[Spec]:
    """List variants that can be built, from the best to the smallest."""
    most = seen.model.max_position_embeddings
    for context in dict.fromkeys(min(tokens, most) for tokens in CONTEXTS):
        for bits in BITS:
            changes = {"target.context": context, "quantization.weights": bits}
            sizes = [{"quantization.group_size": size} for size in GROUP_SIZES]
            varied = filter(None, (vary(seen, changes | size) for size in sizes))
            built = (spec for spec in varied if not any(not_yet(spec)))
            yield from islice(built, 1)


def _name(checkpoint: Path) -> str:
    """Make a name of a folder's."""
    words = re.sub(r"[^a-z0-9]+", "-", checkpoint.resolve().name.lower())
    return words[:63].strip("-") or UNNAMED


def _way(checkpoint: Path, file: Path) -> str:
    """Give the way from the spec's file to the folder; a whole path stays one."""
    if checkpoint.is_absolute():
        return checkpoint.as_posix()
    way = Path(os.path.relpath(checkpoint, file.parent)).as_posix()
    return way if way.startswith("../") else f"./{way}"


def _in_yaml(text: str) -> str:
    """Write a text as a value of YAML, quoted where it has to be."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
