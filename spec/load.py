"""A spec file to a Spec: read, parse, validate, apply the rules, fill the defaults."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leangen.spec.catalogue import catalogue
from leangen.spec.compose import parse
from leangen.spec.consistency import contradictions
from leangen.spec.document import steps
from leangen.spec.errors import Diagnostic, LeangenError
from leangen.spec.schema import schema
from leangen.spec.source import read_bytes
from leangen.spec.spec import (
    Data,
    Gates,
    Model,
    Quantization,
    Recover,
    Serve,
    Sparsity,
    Spec,
    Target,
    Tokenizer,
    Train,
)
from leangen.spec.validate import validate, without_echoes
from leangen.spec.values import fill, read

BYTE_VOCABULARY = 257  # 256 byte values and a separator


def load(path: Path) -> Spec:
    """Load the spec in a file; raises LeangenError with all that is wrong in it."""
    return loads(read_bytes(path), str(path))


def loads(text: str | bytes, file: str = "<spec>") -> Spec:
    """Load a spec from its text; `file` is the name that errors carry."""
    document = parse(text, file)
    values: dict[str, Any] = read(document.root, schema())
    wrong = {*document.problems, *_new(validate(document, values), document.problems)}
    filled = fill(values, schema())
    wrong |= contradictions(document, filled, wrong)
    if wrong:
        raise LeangenError(sorted(without_echoes(wrong), key=_order))
    return _spec(filled)


def diagnostic_at(
    path: Path, field: str, code: str, message: str, suggestion: str = ""
) -> Diagnostic:
    """Point at a field of a spec file, or at the nearest section above it.

    `field` is a path such as target.context, `suggestion` a remedy in words.
    """
    document = parse(read_bytes(path), str(path))
    place = document.nearest(steps(field)).caret
    return document.source.diagnostic(
        place, code, message, path=field, suggestion=suggestion
    )


def _new(found: Iterable[Diagnostic], known: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Leave out what is reported of the same field already."""
    paths = {diagnostic.path for diagnostic in known if diagnostic.path}
    return [diagnostic for diagnostic in found if diagnostic.path not in paths]


def _order(diagnostic: Diagnostic) -> tuple[int, int, str, str]:
    return diagnostic.line, diagnostic.column, diagnostic.path, diagnostic.message


def _spec(values: dict[str, Any]) -> Spec:
    """Build the dataclasses from valid values, with the defaults that depend."""
    model, data, target = values["model"], values["data"], values["target"]
    return Spec(
        name=values["name"],
        model=Model(**{"num_key_value_heads": model["num_attention_heads"]} | model),
        tokenizer=_tokenizer(values["tokenizer"]),
        data=Data(
            source=data["source"],
            path=tuple(data.get("path", ())),
            out_of_sample=tuple(data.get("out_of_sample", ())),
        ),
        train=Train(**{"hardware": target["hardware"]} | values["train"]),
        sparsity=_sparsity(values["sparsity"]),
        quantization=Quantization(**values["quantization"]),
        target=Target(**{"vram_budget": _usable(target["hardware"])} | target),
        serve=Serve(**values["serve"]),
        gates=Gates(perplexity_ratio=values["gates"].get("perplexity_ratio")),
    )


def _tokenizer(value: str | dict[str, int]) -> Tokenizer:
    if isinstance(value, str):
        return Tokenizer(kind=value, vocab_size=BYTE_VOCABULARY)
    return Tokenizer(kind="bpe", vocab_size=value["bpe"])


def _sparsity(values: dict[str, Any]) -> Sparsity:
    recover = values.get("recover")
    return Sparsity(
        pattern=values["pattern"],
        ratio=values.get("ratio"),
        method=values["method"],
        recover=None if recover is None else Recover(**recover),
    )


def _usable(hardware: str) -> int:
    return catalogue()[hardware].usable_bytes
