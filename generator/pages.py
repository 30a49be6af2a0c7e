"""Which pages of YAML are specs, and what they are named, by a look that needs no valid one."""

import re

from leangen.spec import LeangenError
from leangen.spec.text.document import Document
from leangen.spec.text.parse import parse

ENDINGS = (".yaml", ".yml")
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


def name_in(content: bytes) -> str | None:
    """Give the name of a spec, '' where it has none that can be read, None for no spec."""
    if b"leangen" not in content:  # most pages of a repository are something else
        return None
    document = document_of(content)
    if document is None:
        return "" if VERSION.search(content) else None
    return text_at(document, "name") if document.find(("leangen",)) else None
