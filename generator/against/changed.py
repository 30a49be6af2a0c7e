"""Which specs a branch touches: their pages, or the folders that were built from them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leangen.generator import lock
from leangen.generator.against.git import (
    Revision,
    entries,
    present,
    read,
    touched,
    unknown,
)
from leangen.generator.pages import ENDINGS, Page, page_in
from leangen.spec.text.source import MAX_BYTES


@dataclass(frozen=True)
class Changed:
    """specs: those that a branch touches, as seen from here; orphans: folders that it
    touches, and that no spec has the name of."""

    specs: Sequence[Path]
    orphans: Sequence[Path]


def changed(at: Revision, out: Path) -> Changed:
    """Find what differs between a revision and the work tree; a moved spec counts once."""
    files = {*touched(at), *unknown(at)}
    folder = out.resolve()
    built = {
        file.relative_to(folder).parts[0]
        for file in files
        if file.is_relative_to(folder)
    }
    pages = dict(_pages(at))
    present_names = {page.name for page in pages.values()}
    gone = {file: name for file, name in _gone(at, files) if name not in present_names}
    folders = {parent for file in files for parent in file.parents}
    specs = [
        file
        for file, page in pages.items()
        if file in files or page.name in built or _templates(file, page) in folders
    ]
    names = {*present_names, *gone.values()}
    return Changed(
        [Path(os.path.relpath(file)) for file in sorted([*specs, *gone])],
        [
            out / name
            for name in sorted(built - names)
            if (out / name / lock.NAME).is_file()
        ],
    )


def _templates(file: Path, page: Page) -> Path | None:
    """Give the folder of a spec's own templates, None where it has none."""
    named = page.templates
    return Path(os.path.normpath(file.parent / named)) if named else None


def _pages(at: Revision) -> Iterator[tuple[Path, Page]]:
    """List the specs of the work tree."""
    for file in present(at, ENDINGS):
        if file.is_file():
            with file.open("rb") as page:
                found = page_in(page.read(MAX_BYTES + 1))
            if found:
                yield file, found


def _gone(at: Revision, files: set[Path]) -> Iterator[tuple[Path, str]]:
    """List the specs that a revision had, and the work tree has not."""
    names = [
        str(file.relative_to(at.root))
        for file in files
        if file.suffix in ENDINGS and not os.path.lexists(file)
    ]
    for path, entry in entries(at, names).items():
        page = page_in(read(at, entry)) if entry.regular else None
        if page:
            yield at.root / path, page.name
