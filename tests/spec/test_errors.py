"""Every error message, pinned beside the spec that causes it.

After a change that is meant, `LEANGEN_GOLDEN=1 pytest tests/spec/test_errors.py`
writes the messages anew; the diff is what users will notice.
"""

import os
from pathlib import Path

import pytest

from leangen.spec import Diagnostic, LeangenError, as_json, load, loads, render
from leangen.spec.rules.fields import RULES

CASES = sorted((Path(__file__).parent / "errors").glob("*.yaml"))


@pytest.fixture(autouse=True)
def beside_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specs name their checkpoints from where they lie."""
    monkeypatch.chdir(CASES[0].parent)


def message(path: Path) -> str:
    with pytest.raises(LeangenError) as caught:
        loads(path.read_bytes(), path.name)
    return f"{caught.value}\n"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_message_is_what_the_golden_file_says(case: Path) -> None:
    golden = case.with_suffix(".txt")
    if os.environ.get("LEANGEN_GOLDEN"):
        golden.write_text(message(case), encoding="utf-8", newline="\n")
    assert message(case) == golden.read_text(encoding="utf-8")


def test_every_rule_has_a_case() -> None:
    names = {rule.check.__name__ for rule in RULES}
    assert names <= {case.stem for case in CASES}


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    case = next(case for case in CASES if case.stem == "numbers")
    with pytest.raises(LeangenError) as caught:
        load(case)
    lines = [diagnostic.line for diagnostic in caught.value.diagnostics]
    assert len(lines) > 4
    assert lines == sorted(lines)


def test_json_has_the_documented_keys_and_says_what_is_allowed() -> None:
    found = Diagnostic("value", "'2:5' is not a pattern", expected="2:4")
    keys = "code severity message file line column path suggestion"
    assert list(as_json(found)) == keys.split()
    assert as_json(found)["message"] == "'2:5' is not a pattern; expected 2:4"


def test_an_error_without_a_place_is_one_line() -> None:
    error = LeangenError.of("port 80 is in use", remedy="choose another", exit_code=1)
    assert str(error) == "error: port 80 is in use; choose another"
    assert error.exit_code == 1


def test_a_warning_says_that_it_is_one() -> None:
    warning = Diagnostic("idle", "2:4 saves nothing here", severity="warning")
    assert render(warning) == "warning: 2:4 saves nothing here"
    placed = Diagnostic("idle", "no", severity="warning", file="a", line=1, column=1)
    assert render(placed).startswith("a:1:1: warning: no\n")


@pytest.mark.parametrize("name", ["absent.yaml", ".", "nul\0byte.yaml"])
def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(LeangenError, match="cannot be read"):
        load(tmp_path / name)


def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(LeangenError, match="1 MiB"):
        load(path)
