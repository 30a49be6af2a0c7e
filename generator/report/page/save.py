"""The files of a report, onto the disk."""

from collections.abc import Mapping
from pathlib import Path

from leangen.generator.disk import overwrite, overwrite_bytes
from leangen.generator.report.page.png import as_png
from leangen.spec import LeangenError


def save(files: Mapping[str, str], folder: Path) -> tuple[list[Path], str]:
    """Write the files of a report, its pictures as PNG, too; else say why there are none."""
    if folder.is_symlink():
        raise LeangenError.of(
            f"{folder} is a symbolic link: leangen writes to real folders alone",
            remedy="remove the link",
            code="symlink",
        )
    written = []
    for name, content in files.items():
        overwrite(folder / name, content)
        written.append(folder / name)
    drawn, missing = as_png(
        {name: text for name, text in files.items() if name.endswith(".svg")}
    )
    for name, picture in drawn.items():
        file = (folder / name).with_suffix(".png")
        overwrite_bytes(file, picture)
        written.append(file)
    return written, missing
