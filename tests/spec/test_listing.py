"""`leangen list`: everything that a spec may name or hold, without a network."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Leangen = Callable[..., subprocess.CompletedProcess[str]]
from leangen.spec import engines, machines
from leangen.spec.catalogue.models import presets
from leangen.spec.check.schema import fields, schema
from leangen.spec.text.document import dotted

NAMES = {
    "hardware": list(machines()),
    "models": list(presets()),
    "engines": [row.engine for row in engines().values()],
    "fields": [dotted(path) for path, _ in fields(schema())],
}
KEYS = {"hardware": "id", "models": "name", "engines": "engine", "fields": "path"}


@pytest.mark.parametrize("what", NAMES)
def test_every_name_is_listed_for_people_and_for_programs(
    what: str, tmp_path: Path, leangen: Leangen
) -> None:
    done = leangen("list", what, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    starts = {re.split(": |  ", line)[0] for line in done.stdout.splitlines()}
    assert set(NAMES[what]) <= starts
    answer = json.loads(leangen("list", what, "--json", cwd=tmp_path).stdout)
    assert [row[KEYS[what]] for row in answer[what]] == NAMES[what]


def test_a_field_has_its_range_its_default_and_its_meaning(
    tmp_path: Path, leangen: Leangen
) -> None:
    text = leangen("list", "fields", cwd=tmp_path).stdout
    assert (
        "train.beta2: a number from 0 and below 1; 0.95 by default\n"
        " Decay of AdamW's mean of the squared gradients.\n"
    ) in text
    assert "target: a section; required\n" in text


def test_another_list_is_an_error_that_names_those_that_there_are(
    tmp_path: Path, leangen: Leangen
) -> None:
    done = leangen("list", "gpus", cwd=tmp_path)
    assert done.returncode == 2
    assert "'hardware', 'models', 'engines', 'fields'" in done.stderr
