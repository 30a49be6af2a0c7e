"""A spec file to a Spec: read, parse, validate, apply the rules, fill the defaults."""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from leangen.spec.check.conforms import conforms
from leangen.spec.check.schema import schema, schema_of_values
from leangen.spec.check.validate import validate, without_echoes
from leangen.spec.check.values import fill, read
from leangen.spec.defaults import given_in, spec_of, with_model
from leangen.spec.errors import Diagnostic, LeangenError, bounded
from leangen.spec.parts import read_parts
from leangen.spec.rules.apply import contradictions, problems
from leangen.spec.rules.rule import Problem
from leangen.spec.spec import Model, Parts, Spec
from leangen.spec.text.document import Document, steps
from leangen.spec.text.parse import parse
from leangen.spec.text.source import name_of, read_bytes
from leangen.spec.weights.check import check_weights


def load(path: Path, out: Path | None = None) -> Spec:
    """Load the spec in a file, or from standard input for -; raises LeangenError.

    The error has all that is wrong in it. `out` is as in loads.
    """
    return loads(read_bytes(path), name_of(path), out)


def loads(text: str | bytes, file: str = "<spec>", out: Path | None = None) -> Spec:
    """Load a spec from its text; `file` is the name that errors carry.

    A checkpoint is looked for from the folder of that file. Where it is not there, what
    was built from it speaks for it: `out` has a folder by the name of each spec.
    """
    document = parse(text, file)
    values: dict[str, Any] = read(document.root, schema())
    wrong = {*document.problems, *_new(validate(document, values), document.problems)}
    filled = fill(values, schema())
    given = None
    doubtful = [found.path for found in wrong if found.path.startswith("model")]
    if not doubtful:
        try:
            copy = out / values["name"] if out and _is_named(values, wrong) else None
            given = given_in(values, Path(file).parent, copy)
            filled = with_model(filled, values, given)
        except LeangenError as error:
            wrong |= {
                _at(document, "model.checkpoint", found) for found in error.diagnostics
            }
            doubtful = ["model"]
    elif document.find(("model", "preset")) or document.find(("model", "checkpoint")):
        doubtful = ["model"]  # its shape is not known
    wrong |= contradictions(document, filled, wrong, doubtful)
    if wrong:
        raise LeangenError(bounded(sorted(without_echoes(wrong), key=_order)))
    spec = replace(spec_of(filled, values, given), document=document)
    if spec.model.checkpoint:
        _check_weights(document, Path(file).parent / spec.model.checkpoint, spec.model)
    if spec.templates:
        parts = _parts(document, Path(file).parent, spec.templates)
        spec = replace(spec, parts=parts)
    return spec


def _is_named(values: Mapping[str, Any], wrong: Iterable[Diagnostic]) -> bool:
    """Whether a spec has a name, and one that is no way out of a folder."""
    return "name" in values and all(found.path != "name" for found in wrong)


def vary(spec: Spec, changes: Mapping[str, Any]) -> Spec | None:
    """Change fields of a spec as its author would; None where a rule forbids it.

    `changes` maps paths such as target.context to values of the right type, or to None
    where the field is left out.
    """
    values = _written(spec, changes)
    filled = _filled(spec, values)
    if next(problems(filled, values), None):
        return None
    parts = spec.parts if "templates" in values else Parts()
    varied = spec_of(filled, values, spec.given)
    return replace(varied, document=spec.document, parts=parts)


def objection(spec: Spec, changes: Mapping[str, Any]) -> Problem | None:
    """Say what forbids a change of fields, and None where nothing does."""
    values = _written(spec, changes)
    if not conforms(values, schema_of_values()):
        return Problem("", "the schema does not allow it")
    found = next(problems(_filled(spec, values), values), None)
    return found[1] if found else None


def idle_in(spec: Spec, changes: Mapping[str, Any]) -> str:
    """Name a field that does nothing in a spec with changes, '' where there is none."""
    values = _written(spec, changes)
    found = problems(_filled(spec, values), values)
    return next((problem.field for _, problem in found if problem.idle), "")


def load_changed(spec: Spec, changes: Mapping[str, Any], path: Path) -> Spec:
    """Load a spec with changes as if its file had them; raises LeangenError."""
    text = json.dumps(_written(spec, changes), ensure_ascii=False)  # which is YAML
    return loads(text, name_of(path))


def _written(spec: Spec, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the author would have written with changes."""
    values: dict[str, Any] = deepcopy(dict(spec.written))
    for path, value in changes.items():
        section = values
        *above, name = path.split(".")
        for step in above:
            if not isinstance(section.get(step), dict):  # a tokenizer may be a text
                section[step] = {}
            section = section[step]
        section[name] = value
        if value is None:
            del section[name]
    return values


def _filled(spec: Spec, values: dict[str, Any]) -> dict[str, Any]:
    """Add the defaults of the schema, and of the spec's model."""
    return with_model(fill(values, schema()), values, spec.given)


def diagnostic_at(
    spec: Spec, field: str, code: str, message: str, suggestion: str = ""
) -> Diagnostic:
    """Point at a field of a loaded spec, or at the nearest section above it.

    `field` is a path such as target.context, `suggestion` a remedy in words.
    """
    document = spec.document
    assert document, "what is loaded knows its places"
    place = document.nearest(steps(field)).caret
    return document.source.diagnostic(
        place, code, message, path=field, suggestion=suggestion
    )


def _check_weights(document: Document, folder: Path, model: Model) -> None:
    """Hold the weights of a checkpoint against its shape, where they are there."""
    try:
        check_weights(folder, model)
    except LeangenError as error:
        found = [_at(document, "model.checkpoint", each) for each in error.diagnostics]
        raise LeangenError(found) from None


def _parts(document: Document, home: Path, named: str) -> Parts:
    """Read the author's templates; what is wrong inside of one has a place there."""
    try:
        return read_parts(home, named)
    except LeangenError as error:
        found = [
            each if each.line else _at(document, "templates", each)
            for each in error.diagnostics
        ]
        raise LeangenError(found) from None


def _at(document: Document, field: str, found: Diagnostic) -> Diagnostic:
    """Point at the field of a spec that names what something is wrong with."""
    return document.source.diagnostic(
        document.nearest(steps(field)).caret,
        found.code,
        f"{found.file}: {found.message}" if found.file else found.message,
        path=field,
        suggestion=found.suggestion,
    )


def _new(found: Iterable[Diagnostic], known: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Leave out what is reported of the same field already."""
    paths = {diagnostic.path for diagnostic in known if diagnostic.path}
    return [diagnostic for diagnostic in found if diagnostic.path not in paths]


def _order(diagnostic: Diagnostic) -> tuple[int, int, str, str]:
    return diagnostic.line, diagnostic.column, diagnostic.path, diagnostic.message
