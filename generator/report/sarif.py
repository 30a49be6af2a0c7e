"""Findings as SARIF 2.1.0, which code scanning reads."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from leangen.spec import Diagnostic
from leangen.spec.errors import in_a_line

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
    "sarif-schema-2.1.0.json"
)


def sarif(found: Sequence[Diagnostic]) -> str:
    """Write a log of one run: what is wrong in a file, and apart from it what else is."""
    placed = [each for each in found if each.file]
    others = [each for each in found if not each.file]
    rules = dict.fromkeys(each.code for each in placed)
    driver = {
        "name": "leangen",
        "version": version("leangen"),
        "rules": [{"id": code} for code in rules],
    }
    invocation = {
        "executionSuccessful": not others,
        "toolExecutionNotifications": [_stated(each) for each in others],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [_result(each) for each in placed],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _stated(found: Diagnostic) -> dict[str, Any]:
    return {"level": found.severity, "message": {"text": in_a_line(found)}}


def _result(found: Diagnostic) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(Path(found.file))}}
    if found.line:
        place["region"] = {
            "startLine": found.line,
            "startColumn": found.column,
            "endColumn": found.column + found.width,
        }
    where = [{"physicalLocation": place}]
    return {"ruleId": found.code, **_stated(found), "locations": where}


def _uri(file: Path) -> str:
    return file.as_uri() if file.is_absolute() else quote(file.as_posix())
