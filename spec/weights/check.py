"""Holds the weights in a checkpoint's folder against its config.json, before any work."""

from collections.abc import Mapping
from pathlib import Path

from leangen.spec.spec import Model
from leangen.spec.weights.safetensors import (
    BYTES,
    LONGEST,
    Stored,
    parse,
    read_file,
    refuse,
)
from leangen.spec.weights.tensors import tensors_of

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
COPIES = ("lm_head.weight", "rotary_emb.inv_freq")  # that some folders hold, besides
PICKLES = "pytorch_model*.bin"
CONVERT = (
    "load it with transformers where you trust it, and save_pretrained it: that writes "
    "safetensors"
)
CONTRADICTS = "config.json, or the weights, are of another model: fetch both again"


def check_weights(folder: Path, model: Model) -> None:
    """Raise LeangenError where the weights are not those that config.json describes.

    A folder without any can be planned.
    """
    files = _files(folder)
    if not files:
        return
    found: dict[str, Stored] = {}
    for file in files:
        rows = read_file(file)
        for name in rows.keys() & found.keys():
            refuse(f"{name[:80]} is both in {found[name].file.name} and in {file}")
        found |= rows
    if model.num_experts and model.num_sparse_layers < model.num_hidden_layers:
        return  # which layers are sparse is not known here, and nothing builds them
    _compare(folder, model, found)
    if not (folder / "tokenizer.json").is_file():
        remedy = "load the tokenizer with transformers, and save_pretrained it there"
        refuse(f"{folder / 'tokenizer.json'} is missing", remedy)


def _files(folder: Path) -> list[Path]:
    """List the files that hold the weights; none where there are no weights."""
    if (folder / INDEX).is_file():
        return _indexed(folder / INDEX)
    if (folder / WHOLE).exists():
        return [folder / WHOLE]
    for file in sorted(folder.glob(PICKLES)):
        refuse(f"{file} is a pickle, which could run code: it is never loaded", CONVERT)
    return []


def _indexed(index: Path) -> list[Path]:
    """List the files that an index names: all lie beside it."""
    with index.open("rb") as opened:
        names = parse(index, opened.read(LONGEST)).get("weight_map")
    if not isinstance(names, dict) or not names:
        refuse(f"{index} is damaged: it has no weight_map")
    for name in names.values():
        if not isinstance(name, str) or not name or name != Path(name).name:
            refuse(f"{index} names {str(name)[:80]!r}: not a file beside it")
    return [index.with_name(name) for name in sorted({*names.values()})]


def _compare(folder: Path, model: Model, found: Mapping[str, Stored]) -> None:
    """Hold the tensors that are there against those that the model has."""
    known = set()
    for name, shape in tensors_of(model):  # ends at the first that is not there
        row = found.get(name)
        if row is None:
            refuse(
                f"{name}, of which config.json speaks, is not in {folder}", CONTRADICTS
            )
        where = f"{name} in {row.file}"
        if row.dtype not in BYTES:
            remedy = "a checkpoint that is not quantized can be named"
            refuse(f"{where} is {row.dtype}, not {', '.join(BYTES)}", remedy)
        if row.shape != shape:
            differs = f"{list(row.shape)}, and {list(shape)} by config.json"
            refuse(f"{where} is {differs}", CONTRADICTS)
        known.add(name)
    for name in found.keys() - known:
        if not name.endswith(COPIES):
            where = f"{name[:80]} in {found[name].file}"
            refuse(f"{where} is nothing that config.json speaks of", CONTRADICTS)
