"""What the globs of a spec find on this machine: said by build, decided by data.py."""

from collections.abc import Iterator
from pathlib import Path

from leangen.generator.paths import find_texts, matches
from leangen.generator.project import Project

LOOKED_AT = 100  # files whose beginning is read
BEGINNING = 2**16  # bytes


def notes(project: Project) -> Iterator[str]:
    """Tell of globs that name no file here, and of files that are no text."""
    home, data = project.folder.resolve().parent.parent, project.spec.data
    globs = (*data.path, *data.out_of_sample)
    for glob in globs:
        if (home / glob).is_dir():
            yield f"{glob} is a folder: write {glob.rstrip('/')}/*.txt for its files"
        elif not matches(home, glob):
            yield f"no file matches {glob} in {home} yet: data.py will ask for it"
    for file in find_texts(home, globs)[:LOOKED_AT]:
        if not _is_utf8(file):
            yield f"{file} is not UTF-8: data.py would replace what it cannot read"


def _is_utf8(file: Path) -> bool:
    """Whether a file begins as UTF-8 does; a character may be cut at the end."""
    try:
        with file.open("rb") as opened:
            opened.read(BEGINNING).decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > BEGINNING - 4
    except OSError:
        return True  # data.py will say so
    return True
