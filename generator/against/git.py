"""The program git: a revision, and the files in it.

It is asked without a shell, by commands whose output no configuration changes. Whatever
the user names stands behind --end-of-options; from then on a revision is its hash.
"""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leangen.spec import LeangenError
from leangen.spec.text.document import shorten

REGULAR = ("100644", "100755")  # modes of files that are neither links nor modules
# What a hook has set speaks of the repository that the hook runs in.
OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
FETCH = "git fetch --unshallow, or fetch-depth: 0 in actions/checkout"


@dataclass(frozen=True)
class Revision:
    """A commit, as the user named it and by its hash, and the top of the work tree."""

    name: str
    commit: str
    root: Path


@dataclass(frozen=True)
class Entry:
    """A file in a revision; only regular ones have a text of their own."""

    regular: bool
    blob: str


@cache
def revision(name: str, folder: Path) -> Revision:
    """Look a revision up in the repository that a folder is in; raises LeangenError."""
    root = Path(os.fsdecode(_asked(folder, "rev-parse", "--show-toplevel"))[:-1])
    wanted = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    found = _git(root, *wanted, f"{name}^{{commit}}")
    if found.returncode:
        shallow = _asked(root, "rev-parse", "--is-shallow-repository") == b"true\n"
        raise LeangenError.of(
            f"git knows no revision {shorten(name)}"
            f"{': this clone is a shallow one' if shallow else ''}",
            remedy=FETCH if shallow else "name a branch, a tag or a commit",
            code="revision",
        )
    return Revision(name, found.stdout.decode("ascii").strip(), root)


def entries(at: Revision, names: Iterable[str]) -> dict[str, Entry]:
    """Look for files in a revision, by their paths from its top."""
    listed = list(names)
    return _rows(at, at.commit, "--", *listed) if listed else {}


def entries_below(at: Revision, folder: str) -> dict[str, Entry]:
    """List the files of a revision in a folder, by their paths from its top."""
    return _rows(at, "-r", at.commit, "--", f"{folder}/")


def all_entries(at: Revision) -> dict[str, Entry]:
    """List all files of a revision."""
    return _rows(at, "-r", at.commit)


def _rows(at: Revision, *arguments: str) -> dict[str, Entry]:
    found = {}
    listed = _asked(at.root, "ls-tree", "-z", "--full-tree", *arguments)
    for row in listed.split(b"\0")[:-1]:
        facts, _, name = row.partition(b"\t")
        mode, _, blob = facts.decode("ascii").split()
        found[os.fsdecode(name)] = Entry(mode in REGULAR, blob)
    return found


def read(at: Revision, entry: Entry) -> bytes:
    """Read a file of a revision."""
    return _asked(at.root, "cat-file", "blob", entry.blob)


def touched(at: Revision) -> list[Path]:
    """List the files of the work tree, of those that git knows, that differ by now."""
    options = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
    return _listed(at, "diff", *options, "--ignore-submodules", at.commit, "--")


def unknown(at: Revision) -> list[Path]:
    """List the files of the work tree that git does not know, and does not ignore."""
    return _listed(at, "ls-files", "-z", "--others", "--exclude-standard")


def present(at: Revision, endings: tuple[str, ...]) -> list[Path]:
    """List the files of the work tree, by their endings, that git knows, or does not ignore."""
    known = _listed(at, "ls-files", "-z", endings=endings)
    return [*known, *(file for file in unknown(at) if file.suffix in endings)]


def _listed(
    at: Revision, *arguments: str, endings: tuple[str, ...] = ("",)
) -> list[Path]:
    """List files; a path is made of those with an ending alone: there may be many others."""
    names = os.fsdecode(_asked(at.root, *arguments)).split("\0")[:-1]
    return [at.root / name for name in names if name.endswith(endings)]


def _asked(folder: Path, *arguments: str) -> bytes:
    """Give what git answers; raises LeangenError where it does not."""
    done = _git(folder, *arguments)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[0].removeprefix("fatal: ") if said else f"exit {done.returncode}"
        inside = "not a git repository" not in why
        raise LeangenError.of(
            f"git: {why}" if inside else f"{folder} is in no git repository",
            remedy="" if inside else "--against compares with a revision of git",
            code="git",
        )
    return done.stdout


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; paths are paths, and what it says is English."""
    env = {name: value for name, value in os.environ.items() if name not in OF_HOOKS}
    command = ["git", "-C", os.fspath(folder), "--literal-pathspecs", *arguments]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env | {"LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        raise LeangenError.of(
            "there is no git here",
            remedy="install it: --against reads the other spec with it",
            code="no-git",
        ) from None
