"""A spec as it was at a revision: opened in a folder where only that is, in its old place."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from leangen.generator.against.git import (
    Entry,
    Revision,
    all_entries,
    entries,
    entries_below,
    read,
)
from leangen.generator.open import Opened, open_spec
from leangen.generator.pages import ENDINGS, document_of, text_at
from leangen.spec import Diagnostic, LeangenError

# What a spec takes from a checkpoint's folder, or from what was built of it.
SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def place_of(file: Path) -> Path:
    """Give the whole path of a spec, links on the way to its folder followed."""
    return file.parent.resolve() / file.name


def find(at: Revision, file: Path) -> Entry | None:
    """Look for a spec in a revision, None where it is not there."""
    name = _inside(at, file)
    return entries(at, [name]).get(name) if name else None


def find_renamed(at: Revision, name: str) -> tuple[Path, Entry] | None:
    """Find the spec of a name whose file is there no more: where a new one comes from."""
    for path, entry in all_entries(at).items():
        file = at.root / path
        if path.endswith(ENDINGS) and entry.regular and not os.path.lexists(file):
            document = document_of(read(at, entry))
            if document and text_at(document, "name") == name:
                return file, entry
    return None


def open_base(
    at: Revision, file: Path, entry: Entry, *, out: Path, hashes: bool
) -> Opened:
    """Open a spec as it was; raises LeangenError, its places named as git does.

    It and what it reads are laid out below a temporary folder under their whole paths, so
    that each path in it means what it meant.
    """
    if not entry.regular:
        raise LeangenError.of(
            "is no regular file there", code="unreadable", file=_named(at, file)
        )
    with TemporaryDirectory(prefix="leangen-") as laid_out:
        top = Path(laid_out).resolve()
        content = read(at, entry)
        _write(_below(top, file), content)
        _lay_out(at, top, file, content=content, out=out.resolve())
        try:
            opened = open_spec(_below(top, file), _below(top, out.resolve()), hashes)
        except LeangenError as error:
            found = [_as_in_git(at, top, each) for each in error.diagnostics]
            raise LeangenError(found, error.exit_code) from None
        refusal = tuple(_as_in_git(at, top, each) for each in opened.refusal)
    folder = out / opened.spec.name
    own = {} if refusal else _ejected(at, folder.resolve(), opened.spec.ejected)
    files = {**opened.files, **own}
    return replace(opened, folder=folder, files=files, refusal=refusal)


def _ejected(at: Revision, folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Give those files of a folder that were their author's, as they were."""
    named = {_inside(at, folder / name): name for name in names}
    found = entries(at, list(filter(None, named)))
    return {
        named[path]: read(at, entry).decode("utf-8", errors="surrogateescape")
        for path, entry in found.items()
        if entry.regular
    }


def _lay_out(at: Revision, top: Path, file: Path, *, content: bytes, out: Path) -> None:
    """Lay out what a spec reads when it is built: its templates, its checkpoint's small files."""
    document = document_of(content)
    if not document:
        return
    templates = text_at(document, "templates")
    if templates:
        _lay_out_templates(at, top, Path(os.path.normpath(file.parent / templates)))
    checkpoint = text_at(document, "model", "checkpoint")
    if checkpoint:
        name = text_at(document, "name")
        built = [out / name] if name == Path(name).name else []
        given = Path(os.path.normpath(file.parent / checkpoint))
        _lay_out_checkpoint(at, top, given, built)


def _lay_out_templates(at: Revision, top: Path, folder: Path) -> None:
    """Lay out the files of a folder, as git has them."""
    inside = _inside(at, folder)
    for name, entry in entries_below(at, inside).items() if inside else ():
        if entry.regular:
            _write(_below(top, at.root / name), read(at, entry))


def _lay_out_checkpoint(
    at: Revision, top: Path, given: Path, built: Iterable[Path]
) -> None:
    """Lay out the small files of a checkpoint: as git has them, else as they are.

    Those of the checkpoint's own folder, and those that were built from it.
    """
    found = dict(_small_files(at, [given, *built]))
    for place, entry in found.items():
        _write(_below(top, place), read(at, entry))
    if not any(place.name == "config.json" for place in found):
        for small in SMALL:
            if (given / small).is_file():
                _below(top, given).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(given / small, _below(top, given) / small)


def _small_files(at: Revision, folders: Iterable[Path]) -> Iterator[tuple[Path, Entry]]:
    """List which of the small files some folders had at a revision."""
    places = [folder / small for folder in folders for small in SMALL]
    named = {_inside(at, place): place for place in places}
    wanted = [name for name in named if name]
    for name, entry in entries(at, wanted).items():
        if entry.regular:
            yield named[name], entry


def _inside(at: Revision, place: Path) -> str:
    """Give a path from the top of the work tree, '' where it is not in there."""
    return str(place.relative_to(at.root)) if place.is_relative_to(at.root) else ""


def _below(top: Path, place: Path) -> Path:
    return top / place.relative_to(place.anchor)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _as_in_git(at: Revision, top: Path, found: Diagnostic) -> Diagnostic:
    """Name files as git does, main:spec.yaml, in place of where they were laid out."""

    def named(text: str) -> str:
        laid = text.replace(f"{_below(top, at.root)}{os.sep}", f"{at.name}:")
        return laid.replace(str(top), "")

    return replace(
        found,
        file=named(found.file),
        message=named(found.message),
        suggestion=named(found.suggestion),
    )


def _named(at: Revision, file: Path) -> str:
    return f"{at.name}:{_inside(at, file)}"
