"""Pages for people: a sweep, or a single run, in one file that needs no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["write"]


def write(sweep: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the report of a sweep.json into a folder; return the files, the page first."""
    from leangen.generator.report.page.figures import read
    from leangen.generator.report.page.save import save
    from leangen.generator.report.page.sweep_page import files

    written, _ = save(files(read(sweep)), folder)
    return written
