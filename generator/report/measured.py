"""artifacts/ledger.json: what the scripts measured of themselves when they ran."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.spec import LeangenError


@dataclass(frozen=True)
class Measured:
    """The peak of a stage that ran, and what the plan said of it then, in bytes."""

    measured_bytes: int
    planned_bytes: int


def read_measured(folder: Path) -> Mapping[str, Measured]:
    """Read what each stage measured; raises LeangenError where nothing was."""
    file = folder / "artifacts" / "ledger.json"
    try:
        return {
            stage: Measured(int(row["measured_bytes"]), int(row["planned_bytes"]))
            for stage, row in json.loads(file.read_text()).items()
            if row["measured_bytes"] > 0
        }
    except FileNotFoundError:
        raise LeangenError.of(
            "nothing was measured yet",
            remedy="run the scripts first: leangen run",
            code="not-measured",
            file=str(file),
            exit_code=1,
        ) from None
    except (
        ValueError,
        OverflowError,
        RecursionError,
        AttributeError,
        TypeError,
        KeyError,
    ):
        raise LeangenError.of(
            "is damaged", remedy="run the scripts again", code="damaged", file=str(file)
        ) from None
