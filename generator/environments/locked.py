"""What the environment of a stage holds: its packages with their hashes, off the locks."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.render.hashes import Entry, closure, read_lock
from leangen.generator.render.requirements import UNREACHED


@dataclass(frozen=True)
class Locked:
    """The packages that an environment holds, by name and as pip takes them.

    needs: what was asked for; names: that, and all that it needs.
    torch: the lock of torch without CUDA, which has an index of its own; else ''.
    others: the lock of all that comes from PyPI.
    """

    needs: tuple[str, ...]
    names: frozenset[str]
    torch: str
    others: str

    @property
    def place(self) -> Path:
        """Give the folder of the environment: by what it holds, and for which Python."""
        python = f"{sys.version} {sys.base_prefix} {sysconfig.get_platform()}"
        held = f"{python}\n{self.torch}\n{self.others}"
        return environments() / hashlib.sha256(held.encode()).hexdigest()[:16]

    def pins(self, pin: str) -> bool:
        """Tell whether a package is among them in that version: name==version."""
        return f"\n{pin} " in f"\n{self.torch}\n{self.others}"


def locked(needs: Collection[str], *, torch_alone: bool) -> Locked:
    """Look up packages, and all that those need, in the locks.

    torch_alone: torch comes without CUDA, from its own index.
    """
    alone = torch_alone and "torch" in needs
    entries = closure(needs, cuda=not torch_alone, without=UNREACHED.values())
    others = [entry for entry in entries if not (alone and entry.name == "torch")]
    return Locked(
        needs=tuple(needs),
        names=frozenset(entry.name for entry in entries),
        torch=_text(read_lock("torch-cpu.lock")) if alone else "",
        others=_text(others),
    )


def _text(entries: Collection[Entry]) -> str:
    return "".join(entry.text for entry in entries)


def environments() -> Path:
    """Give the folder of all environments, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = cache if cache.is_absolute() else Path.home() / ".cache"
    return home / "leangen" / "environments"
