"""The files of a report, onto the disk."""

from collections.abc import Mapping
from pathlib import Path

from leangen.generator.disk import overwrite, overwrite_bytes
from leangen.generator.report.page.png import as_png


def save(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files of a report, and each of its pictures as PNG, too, where that can be."""
    written = []
    for name, content in files.items():
        overwrite(folder / name, content)
        written.append(folder / name)
    drawn, _ = as_png({name: text for name, text in files.items() if name.endswith(".svg")})
    for name, picture in drawn.items():
        file = (folder / name).with_suffix(".png")
        overwrite_bytes(file, picture)
        written.append(file)
    return written
