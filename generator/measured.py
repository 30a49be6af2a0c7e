"""artifacts/ledger.json: what the scripts measured of themselves when they ran."""

import json
from collections.abc import Mapping
from pathlib import Path

from leangen.spec import LeangenError


def read_measured(folder: Path) -> Mapping[str, Mapping[str, int]]:
    """Read the peaks by stage; raises LeangenError where nothing was measured."""
    file = folder / "artifacts" / "ledger.json"
    try:
        found = json.loads(file.read_text())
        peaks = {
            stage: int(figures["measured_bytes"]) for stage, figures in found.items()
        }
    except FileNotFoundError:
        raise LeangenError.of(
            "nothing was measured yet",
            remedy="run the scripts first: leangen run",
            code="not-measured",
            file=str(file),
            exit_code=1,
        ) from None
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        raise LeangenError.of(
            "is damaged", remedy="run the scripts again", code="damaged", file=str(file)
        ) from None
    return {
        stage: {"measured_bytes": peak} for stage, peak in peaks.items() if peak > 0
    }
