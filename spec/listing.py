"""What a spec may hold and name, for `leangen list`: as text, and as rows for --json."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any

from leangen.spec.catalogue.engines import Engine, engines
from leangen.spec.catalogue.hardware import CUSTOM, Hardware, machines
from leangen.spec.catalogue.models import presets
from leangen.spec.described import Field, bits, described, saving
from leangen.spec.text.scalars import write_quantity

Row = Mapping[str, Any]
WIDTH = 96  # columns of a description


def listing(what: str) -> tuple[str, list[Row]]:
    """Write a list as text, and give its rows: of hardware, models, engines or fields."""
    return _LISTS[what]()


def _hardware() -> tuple[str, list[Row]]:
    rows = machines().values()
    head = [
        "name",
        "kind",
        "memory",
        "usable",
        "GB/s",
        "float32",
        "bf16",
        "2:4",
        "capability",
    ]
    cells = map(_hardware_cells, rows)
    about = (
        f"TFLOPS are peaks of dense arithmetic. Another machine: {CUSTOM}, and a section "
        "custom_hardware (leangen list fields)."
    )
    return _table(head, cells, about), list(map(vars, rows))


def _hardware_cells(row: Hardware) -> list[str]:
    return [
        row.id,
        row.kind,
        write_quantity("bytes", row.memory_bytes),
        f"{row.usable_bytes / 2**30:.1f}GiB",
        f"{row.bandwidth / 1e9:g}",
        f"{row.flops_float32 / 1e12:g}",
        f"{row.flops_bf16 / 1e12:g}" if row.has_bf16 else "-",
        "yes" if row.sparse_24 else "-",
        row.compute_capability or "-",
    ]


def _models() -> tuple[str, list[Row]]:
    rows = [{"name": name, **row} for name, row in presets().items()]
    head = ["name", "model_type", "parameters", "layers", "width", "context", "source"]
    about = "Names for model.preset. With train.tokens, such a model is trained from scratch."
    return _table(head, map(_model_cells, rows), about), list(rows)


def _model_cells(row: Row) -> list[str]:
    return [
        row["name"],
        row["model_type"],
        f"{row['parameters']:,}",
        str(row["num_hidden_layers"]),
        str(row["hidden_size"]),
        write_quantity("context", row["max_position_embeddings"]),
        row["source"],
    ]


def _engines() -> tuple[str, list[Row]]:
    rows = engines().values()
    head = ["name", "device", "bits of weights", "bits of kv_cache", "zeros that save"]
    about = "Names for serve.engine. leangen writes the server for onnxruntime on a CPU, and for torch on a GPU."
    return _table(head, map(_engine_cells, rows), about), list(map(vars, rows))


def _engine_cells(row: Engine) -> list[str]:
    named = [row.engine, row.device, bits(row.weights), bits(row.kv_cache)]
    return [*named, saving(row)]


def _fields() -> tuple[str, list[Row]]:
    found = list(described())
    return "\n".join(map(paragraph, found)), list(map(vars, found))


def paragraph(field: Field) -> str:
    """Write a field: what it takes, its default, what it is."""
    default = "" if field.section else _default(field.default)
    facts = "a section" if field.section else field.allowed
    about = fill(field.description, WIDTH, initial_indent=" ", subsequent_indent=" ")
    need = "; required" if field.required else default
    return f"{field.path}: {facts}{need}\n{about}\n"


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"; {str(value).lower() if isinstance(value, bool) else value} by default"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], about: str) -> str:
    """Align columns, and say below what the names are for."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([*padded, "", about]) + "\n"


_LISTS: Mapping[str, Callable[[], tuple[str, list[Row]]]] = {
    "hardware": _hardware,
    "models": _models,
    "engines": _engines,
    "fields": _fields,
}
