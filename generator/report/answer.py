"""What a verb found out, as its reader sees it: a text, a JSON document, annotations, SARIF."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from leangen.spec import Diagnostic, as_json, render

FORMAT_VERSION = 1  # of the documents that --json prints
TEXT: Final = "text"  # forms of an answer
JSON: Final = "json"
GITHUB: Final = "github"
SARIF: Final = "sarif"
NO, WRONG, REFUSED, BUG, IO_ERROR, INTERRUPTED, TERMINATED = 1, 2, 3, 70, 74, 130, 143


@dataclass(frozen=True)
class Answer:
    """What a verb found out: text for people, facts on each spec for --json.

    A verb of one spec has the same facts as the document's own. findings: what the text
    tells of files, for the forms that show findings at their places, and no text.
    """

    text: str = ""
    specs: Sequence[dict[str, Any]] = field(default_factory=list)
    exit_code: int = 0
    diagnostics: Sequence[Diagnostic] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Diagnostic] = ()


def failure(code: str, message: str, exit_code: int) -> Answer:
    """Make the answer of a verb that came to none."""
    return Answer(exit_code=exit_code, diagnostics=[Diagnostic(code, message)])


def emit(answer: Answer, form: str) -> int:
    """Print the answer in a form; return the exit code, which a full disk changes.

    A reader that has gone, such as head, is no error.
    """
    try:
        print(_printed(answer, form), end="", flush=True)
    except BrokenPipeError:
        _close_stdout()
    except OSError as error:
        _close_stdout()
        print(f"error: standard output: {error}", file=sys.stderr)
        return IO_ERROR
    if form == TEXT:
        for diagnostic in answer.diagnostics:
            print(render(diagnostic), file=sys.stderr)
    return answer.exit_code


def _printed(answer: Answer, form: str) -> str:
    if form == JSON:
        return _document(answer)
    found = [*answer.diagnostics, *answer.findings]
    if form == GITHUB:
        from leangen.generator.report.github import annotations

        return annotations(found)
    if form == SARIF:
        from leangen.generator.report.sarif import sarif

        return sarif(found)
    return answer.text


def _document(answer: Answer) -> str:
    found = {
        "format_version": FORMAT_VERSION,
        "exit_code": answer.exit_code,
        "diagnostics": list(map(as_json, answer.diagnostics)),
        "specs": list(answer.specs),
        **answer.document,
    }
    return json.dumps(found, indent=2) + "\n"


def _close_stdout() -> None:
    """Let what Python still holds for standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
