"""What a field means, who uses it, and what it costs in a spec."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill, indent, shorten
from typing import Any

from leangen.generator.explain.words import WIDTH, beside, spell, title
from leangen.generator.plan import Plan, plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.report.answer import Answer
from leangen.generator.report.units import duration, durations, size
from leangen.generator.stages import STAGES, Stage, stages_of
from leangen.generator.stages.table import MADE_OF
from leangen.spec import Engine, Spec, engines
from leangen.spec.check.schema import field_at
from leangen.spec.check.values import fill as with_defaults
from leangen.spec.described import Field, bits, described, saving
from leangen.spec.explained import explanations, named
from leangen.spec.listing import paragraph
from leangen.spec.neighbours import Changes, neighbours, value_in, written
from leangen.spec.text.document import steps

LABEL = 13  # columns
OTHERS = 6  # plans with other values that are shown, at most
HARDWARE = ("target.hardware", "train.hardware")  # which name custom_hardware

ENGINES: Mapping[str, Callable[[Engine], str]] = {
    "quantization.weights": lambda engine: f"{bits(engine.weights)} bits",
    "quantization.kv_cache": lambda engine: f"{bits(engine.kv_cache)} bits",
    "quantization.group_size": lambda engine: (
        f"groups of {engine.group_size}" if engine.group_size else "groups as they are"
    ),
    "sparsity.pattern": lambda engine: (
        f"zeros save in {saving(engine)}" if engine.patterns else "zeros save nothing"
    ),
}


def explain_field(name: str, spec: Spec | None) -> Answer:
    """Explain a field or a section; with a spec also its value there, and what it costs."""
    field = named(name)
    text = paragraph(field)
    document: dict[str, Any] = {"field": asdict(field)}
    if field.section:
        text += "\n" + "".join(_entries(field, spec))
    found = explanations().get(field.path)
    if found:
        text += f"\n{indent(found, ' ')}"
        document["explanation"] = found
    facts = _facts(field, spec)
    text += "\n" + "".join(beside(label, said, LABEL) for label, said in facts.items())
    document["facts"] = facts
    if spec and not field.section:
        costs, document["instead"] = _costs(field.path, spec)
        text += f"\n{costs}"
    return Answer(text, document=document)


def _entries(section: Field, spec: Spec | None) -> Iterator[str]:
    """List the fields of a section, a line each: name, value or default, first words."""
    inside = [each for each in described() if each.parent == section.path]
    width = max(len(each.name) for each in inside)
    for each in inside:
        value = _value(spec, each.path) if spec else each.default
        shown = "" if each.section or value is None else spell(each.path, value)
        shown = shorten(shown, LABEL, placeholder="...")
        start = f" {each.name:<{width}}  {shown:<{LABEL}}  "
        rest = WIDTH - len(start)
        yield start + shorten(each.description, rest, placeholder=" ...") + "\n"


def _facts(field: Field, spec: Spec | None) -> dict[str, str]:
    """Say who uses a field, and what it is in a spec, each beside its label."""
    seen, counted = _users(field.path, stages_of(spec) if spec else STAGES)
    found = {"read by": ", ".join(seen) or "no script"}
    if counted:
        found["costs in"] = ", ".join(counted)
    if field.path in ENGINES:
        found["engines"] = _engines(ENGINES[field.path])
    if spec and not field.section:
        found["here"] = _here(spec, field.path)
    return found


def _users(path: str, stages: Sequence[Stage]) -> tuple[list[str], list[str]]:
    """List the scripts and modules that see a field, and the stages that it costs."""
    paths = HARDWARE if path.startswith("custom_hardware") else (path,)
    if path == "name":
        return ["every script and module"], []
    seen = [stage.script for stage in stages if _covers(stage.fields, paths)]
    return seen, [stage.name for stage in stages if _covers(stage.costs, paths)]


def _covers(declared: Sequence[str], paths: Sequence[str]) -> bool:
    """Whether a field, a section around it or a part of it is declared."""
    parts = {part for one in declared for part in MADE_OF.get(one, (one,))}
    return any(
        f"{path}.".startswith(f"{part}.") or part.startswith(f"{path}.")
        for path in paths
        for part in parts
    )


def _engines(fact: Callable[[Engine], str]) -> str:
    """Say what engines make of a field, those of one mind together."""
    by_fact: dict[str, list[str]] = {}
    for row in engines().values():
        by_fact.setdefault(fact(row), []).append(f"{row.engine} on {row.device}")
    return "; ".join(f"{', '.join(rows)}: {said}" for said, rows in by_fact.items())


def _here(spec: Spec, path: str) -> str:
    """Say which value a field has in a spec, and where that comes from."""
    document = spec.document
    assert document, "what is loaded knows its places"
    node = document.find(steps(path))
    if node:
        place = f"{document.source.file}:{node.place.line}"
        return f"{spell(path, written(spec, path))}, written in {place}"
    value = _value(spec, path)
    if value is None:
        return "not written, and nothing without it"
    default = value == _default(path)
    origin = "the default" if default else "which follows from the rest of the spec"
    return f"{spell(path, value)}, {origin}"


def _value(spec: Spec, path: str) -> Any:
    value = value_in(spec, path)
    return None if value in ((), {}) else value


def _default(path: str) -> Any:
    """Give the default of the schema as it is read."""
    *above, name = steps(path)
    return with_defaults({}, field_at(tuple(above))).get(str(name))


def _costs(path: str, spec: Spec) -> tuple[str, list[dict[str, Any]]]:
    """Say what the plan would be with other values, as text and as facts."""
    before = plan(spec)
    blocks: list[str] = []
    same, found = [], []
    for changes, varied in neighbours(spec, path):
        after = plan(varied)
        found.append(_as_facts(changes, after))
        lines = list(_differences(before, after))
        if not lines:
            same.append(title(changes))
        elif len(blocks) < OTHERS:
            blocks.append(f"{title(changes)}\n" + "".join(lines))
    if not found:
        return "no other value goes with the rest of this spec\n", found
    if blocks:
        blocks.insert(0, "what other values would change here\n")
    if same:
        blocks.append(fill(f"no other plan with {'; '.join(same)}", WIDTH) + "\n")
    return "\n".join(blocks), found


def _differences(old: Plan, new: Plan) -> Iterator[str]:
    """Tell how two plans differ: a line a figure."""
    if old.parameters != new.parameters:
        yield _line("parameters", f"{old.parameters:,} -> {new.parameters:,}")
    if old.exported_bytes != new.exported_bytes:
        weights = f"{size(old.exported_bytes)} -> {size(new.exported_bytes)}"
        yield _line("weights", f"{weights} as stored")
    for name in {**old.stages, **new.stages}:
        said = _stage(old.stages.get(name), new.stages.get(name))
        if said:
            yield _line(name, said)


def _line(label: str, said: str) -> str:
    return f"  {label:<{LABEL - 2}} {said}\n"


def _stage(old: StagePlan | None, new: StagePlan | None) -> str:
    """Tell how a stage differs, '' where it does not."""
    if new is None:
        return "goes"
    verdict = "" if new.fits else "does not fit"
    if old is None:
        time = duration(new.seconds) if new.seconds else ""
        return ", ".join(filter(None, ["comes", size(new.peak_bytes), time, verdict]))
    parts = []
    if old.peak_bytes != new.peak_bytes:
        parts.append(f"{size(old.peak_bytes)} -> {size(new.peak_bytes)}")
    if old.fits != new.fits:
        parts.append(verdict or "fits")
    if old.seconds and new.seconds and old.seconds != new.seconds:
        parts.append(" -> ".join(durations(old.seconds, new.seconds)))
    return ", ".join(parts)


def _as_facts(changes: Changes, planned: Plan) -> dict[str, Any]:
    """Describe another plan for --json; bytes are integers, times seconds."""
    return {
        "change": dict(changes),
        "fits": planned.fits,
        "parameters": planned.parameters,
        "exported_bytes": planned.exported_bytes,
        "stages": {
            name: {"peak_bytes": stage.peak_bytes, "seconds": stage.seconds}
            for name, stage in planned.stages.items()
        },
    }
