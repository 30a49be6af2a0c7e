"""Plain words for what the schema allows and for what was found instead."""

from collections.abc import Sequence

from leangen.spec.catalogue.hardware import CUSTOM
from leangen.spec.check.schema import Schema, properties, types
from leangen.spec.text.document import FieldPath, Node, shorten
from leangen.spec.text.scalars import write_quantity

_QUANTITIES = {
    "count": ("a whole number of tokens", "20M"),
    "context": ("a whole number of tokens", "32k"),
    "bytes": ("a whole number of bytes", "16GiB"),
}
_KNOWN = {
    "hardware": "known hardware",
    "models": "a known model",
    "engines": "a known engine",
}
_WAYS_OUT = {"hardware": f", or {CUSTOM} and a section custom_hardware"}
EXAMPLES = {  # what an error names where nothing is near
    "hardware": ("x86-avx2", "rtx-4090", "h100-80gb"),
    "models": ("llama-3.2-1b", "qwen3-8b", "mixtral-8x7b-v0.1"),
    "engines": ("onnxruntime", "torch", "vllm"),
}
_TYPES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a section",
    "array": "a list",
}


def found(node: Node) -> str:
    """Name what stands in the file."""
    if isinstance(node.value, dict):
        return "a section"
    if isinstance(node.value, list):
        return "a list"
    return shorten(node.raw) if isinstance(node.value, str) else node.raw


def noun(field: Schema, path: FieldPath) -> str:
    """Name what a field holds: a pattern, a whole number, a whole number of bytes."""
    if "x-quantity" in field:
        return _QUANTITIES[field["x-quantity"]][0]
    if "x-catalogue" in field:
        return _KNOWN[field["x-catalogue"]]
    if "x-noun" in field:
        return str(field["x-noun"])
    if "string" in types(field) and {"enum", "pattern", "if"} & set(field):
        last, item = path[-1], isinstance(path[-1], int)
        name = str(path[-2]).removesuffix("s") if item else str(last)
        name = name.replace("_", " ")
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return _TYPES.get(types(field)[0], "text")


def expected(field: Schema, text: str = "") -> str:
    """Say what a field allows; of many names, those that are near to a text."""
    if "x-expected" in field:
        return str(field["x-expected"])
    if "x-catalogue" in field:
        return _name_of(field["x-catalogue"], field["enum"], text)
    if "enum" in field:
        return either([str(choice) for choice in field["enum"]])
    if "object" in types(field):
        return f"a section with {', '.join(properties(field))}"
    if "array" in types(field):
        return f"a text, or a list of at most {field['maxItems']}"
    return _range(field)


def _name_of(catalogue: str, names: Sequence[str], text: str) -> str:
    """Say where all names of a catalogue are listed, and a few that may be meant."""
    few = near(text, names)[:3] or EXAMPLES[catalogue]
    listed = f"a name that leangen list {catalogue} prints, such as {either(few)}"
    return listed + _WAYS_OUT.get(catalogue, "")


def near(text: str, choices: Sequence[str]) -> list[str]:
    """List the choices that a text may mean: those that it begins, then similar ones."""
    from difflib import get_close_matches  # only what is wrong needs it

    start = text.lower()
    longer = [choice for choice in choices if start and choice.startswith(start)]
    return list(dict.fromkeys(longer + get_close_matches(start, choices, 3, 0.5)))


def either(choices: Sequence[str]) -> str:
    """Join choices: a, b or c."""
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))


def figure(field: Schema, value: float) -> str:
    """Write a number as a spec would."""
    if "x-quantity" in field:
        return write_quantity(field["x-quantity"], int(value))
    return str(int(value)) if value == int(value) else f"{value:g}"


def _range(field: Schema) -> str:
    """Say which numbers a field allows: a whole number from 16 to 65536."""
    words = _TYPES.get(types(field)[0], "text")
    if "maxLength" in field:
        words = f"text of at most {field['maxLength']} characters"
    if "x-quantity" in field:
        words = "{} such as {},".format(*_QUANTITIES[field["x-quantity"]])
    bounds = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to" if "minimum" in field else "and at most",
        "exclusiveMaximum": "and below",
    }
    limits = [
        f"{word} {figure(field, field[bound])}"
        for bound, word in bounds.items()
        if bound in field
    ]
    return " ".join([words, *limits]).removesuffix(",")
