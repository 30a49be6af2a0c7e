"""docs/spec.md from schema.json: `python -m leangen.spec.reference > docs/spec.md`."""

import json
from collections.abc import Iterator, Sequence
from textwrap import indent

from leangen.spec.catalogue.engines import Engine, engines
from leangen.spec.catalogue.hardware import Hardware, machines
from leangen.spec.catalogue.models import presets
from leangen.spec.check.schema import schema
from leangen.spec.described import Field, bits, described, saving
from leangen.spec.explained import explanations
from leangen.spec.text.scalars import write_quantity

INTRODUCTION = """\
# The spec

{description}
This page is made from `spec/schema.json` by `python -m leangen.spec.reference`; `leangen list fields`
prints the same on a terminal, and `leangen list hardware`, `models` and `engines` the catalogues.
`leangen explain FIELD` has a field with who uses it, and `leangen explain FIELD SPEC` with what it is and costs there.

A spec is one YAML file, read by the rules of YAML 1.2: `2:4` and `no` are texts, `1e-3`
is a number. Every field is named once; a field that is not below is an error, and so
are tags, a second document, control characters and more than 1 MiB. A first line lets
editors complete and check it against what `leangen schema` prints:

    # yaml-language-server: $schema=./leangen.schema.json

Counts take k, M, B and T (powers of 1,000), lengths take k and M (powers of 1,024),
memory takes KiB, MiB, GiB and TiB or kB, MB, GB and TB; all must come to whole numbers.

Relative paths in a spec start at the folder of the spec (of standard input: at the working
directory); `--out`, as every argument of the command, starts at the working directory. `~`
is not expanded.
"""


def markdown() -> str:
    """Write the reference: a table a section, then the catalogues."""
    introduction = INTRODUCTION.format(description=schema()["description"])
    tables = "\n".join(_sections(list(described())))
    catalogues = f"{_hardware()}\n{_models()}\n{_engines()}"
    return f"{introduction}\n{tables}\n{catalogues}"


def _sections(fields: Sequence[Field]) -> Iterator[str]:
    """Write the table of the whole, then one a section."""
    yield _section("The whole", "", [each for each in fields if not each.parent])
    for section in fields:
        if section.section:
            inside = [each for each in fields if each.parent == section.path]
            yield _section(f"`{section.path}`", f"{section.description}\n\n", inside)
            yield from _explanations(inside)


def _section(title: str, about: str, fields: Sequence[Field]) -> str:
    head = "| field | allowed | default | what it is |\n|---|---|---|---|\n"
    return f"## {title}\n\n{about}{head}{''.join(map(_row, fields))}"


def _explanations(inside: Sequence[Field]) -> Iterator[str]:
    """Write out what explanations.yaml has on the fields of a section, as it stands there."""
    for field in inside:
        if field.path in explanations():
            text = indent(explanations()[field.path], "    ")
            yield f"### `{field.path}`\n\n{text}"


def _row(field: Field) -> str:
    allowed = "a section" if field.section else _allowed(field)
    default = "required" if field.required else _default(field.default)
    return _line(f"`{field.name}`", allowed, default, field.description)


def _line(*cells: str) -> str:
    """Write a row of a table; escapes what Markdown would read as its own."""
    plain = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells]
    return f"| {' | '.join(plain)} |\n"


def _allowed(field: Field) -> str:
    """Say what a field takes; the catalogue has a table of its own."""
    if field.catalogue:
        return f"a name in the table of [{field.catalogue}](#{field.catalogue})"
    return field.allowed


def _default(value: object) -> str:
    """Write a default as YAML has it; sections have none of their own."""
    if value is None or value == {}:
        return ""
    return f"`{json.dumps(value)}`".replace('"', "")


def _hardware() -> str:
    """Write the catalogue of hardware."""
    head = (
        "## hardware\n\n"
        "Usable is what the driver and the operating system leave; the rates are peaks "
        "of dense arithmetic.\n\n"
        "| name | what it is | memory | usable | GB/s | float32 TFLOPS | bf16 TFLOPS "
        "| float16 TFLOPS | int8 TOPS | fp8 TFLOPS | 2:4 | compute capability | source |\n"
        f"|{'---|' * 13}\n"
    )
    return head + "".join(map(_hardware_row, machines().values()))


def _hardware_row(row: Hardware) -> str:
    return _line(
        f"`{row.id}`",
        row.name,
        write_quantity("bytes", row.memory_bytes),
        f"{row.usable_bytes / 2**30:.1f} GiB",
        f"{row.bandwidth / 1e9:g}",
        f"{row.flops_float32 / 1e12:g}",
        *map(_rate, (row.flops_bf16, row.flops_float16, row.ops_int8, row.flops_fp8)),
        "yes" if row.sparse_24 else "no",
        row.compute_capability,
        row.source,
    )


def _rate(operations: float) -> str:
    return f"{operations / 1e12:g}" if operations else "none"


def _models() -> str:
    """Write the catalogue of models."""
    head = (
        "## models\n\nShapes that `model.preset` may name; all can be planned, those of "
        "model_type llama can be built.\n\n"
        "| name | model_type | parameters | source |\n|---|---|---|---|\n"
    )
    return head + "".join(
        _line(f"`{name}`", row["model_type"], f"{row['parameters']:,}", row["source"])
        for name, row in presets().items()
    )


def _engines() -> str:
    """Write the catalogue of engines."""
    head = (
        "## engines\n\nWhat an engine can make use of, on a device; a pattern that is not "
        "named saves nothing there. leangen writes the server for onnxruntime on a CPU, "
        "and for torch on a GPU.\n\n"
        "| engine | device | bits of weights | bits of keys and values | patterns that "
        "save | source |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(map(_engine_row, engines().values()))


def _engine_row(row: Engine) -> str:
    return _line(
        f"`{row.engine}`",
        row.device,
        bits(row.weights),
        bits(row.kv_cache),
        saving(row),
        row.source,
    )


if __name__ == "__main__":
    print(markdown(), end="")
