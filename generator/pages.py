"""Which pages of YAML are specs, and what they are named, by a look that needs no valid one."""

import re
from dataclasses import dataclass

from leangen.spec import LeangenError
from leangen.spec.text.document import Document
from leangen.spec.text.parse import parse

ENDINGS = (".yaml", ".yml")
NAME = re.compile(rb"(?m)^name *:(.*)$")
PLAIN = re.compile(rb" ([a-z0-9-]+) *(?:#.*)?\r?")
VERSION = re.compile(rb"(?m)^leangen *:")  # the first field of a spec


def document_of(content: bytes) -> Document | None:
    """Parse a page, None where that cannot be done: whoever opens it says why."""
    try:
        return parse(content, "")
    except LeangenError:
        return None


def text_at(document: Document, *path: str) -> str:
    """Read a field that holds a text, '' where it is not there."""
    node = document.find(path)
    return node.raw if node else ""


@dataclass(frozen=True)
class Page:
    """What a look at a spec sees: '' stands for what it has not, or cannot be read."""

    name: str
    templates: str


def page_in(content: bytes) -> Page | None:
    """Look at a spec, None for what is none."""
    if b"leangen" not in content:  # most pages of a repository are something else
        return None
    names = NAME.findall(content)
    plain = PLAIN.fullmatch(names[0]) if len(names) == 1 else None
    if plain and VERSION.search(content) and b"templates" not in content:
        return Page(plain[1].decode(), "")  # as most specs are: thousands take no time
    document = document_of(content)
    if document is None:
        return Page("", "") if VERSION.search(content) else None
    if not document.find(("leangen",)):
        return None
    return Page(text_at(document, "name"), text_at(document, "templates"))
