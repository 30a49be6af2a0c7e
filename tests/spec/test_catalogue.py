"""The hardware catalogue: its rows, its units, its lookup."""

import pytest

from leangen.spec import LeangenError, hardware, machines
from leangen.spec.catalogue.engines import engine_names
from leangen.spec.catalogue.hardware import Hardware
from leangen.spec.catalogue.models import presets
from leangen.spec.check.wording import EXAMPLES

GIB = 2**30


@pytest.mark.parametrize("row", machines().values(), ids=lambda row: row.id)
def test_every_row_is_plausible(row: Hardware) -> None:
    assert row.kind in {"cpu", "cuda"}
    assert GIB < row.usable_bytes < row.memory_bytes < 1024 * GIB
    assert 1e10 < row.bandwidth < 1e13
    assert 1e11 < row.flops_float32 < 1e15
    assert row.flops_bf16 == 0 or row.flops_bf16 > row.flops_float32
    assert row.source


def test_units_are_bytes_and_operations() -> None:
    card = hardware("rtx-4060ti-16gb")
    assert card.memory_bytes == 16 * GIB
    assert card.bandwidth == 288e9
    assert card.flops_bf16 == pytest.approx(44.1e12)


def test_bf16_needs_units_for_it() -> None:
    without = {row.id for row in machines().values() if not row.has_bf16}
    assert {"t4", "v100-16gb", "x86-2core", "raspberry-pi-5"} <= without
    assert hardware("a100-40gb").has_bf16


def test_what_errors_name_is_in_the_catalogues() -> None:
    assert set(EXAMPLES["hardware"]) <= set(machines())
    assert set(EXAMPLES["models"]) <= set(presets())
    assert set(EXAMPLES["engines"]) <= set(engine_names())


def test_an_unknown_name_is_an_error_that_says_where_the_known_are() -> None:
    with pytest.raises(LeangenError, match="leangen list hardware"):
        hardware("x86")


def test_usable_memory_is_what_cards_report() -> None:
    reported = {"rtx-3090": 23.58, "a100-80gb": 79.15, "h200": 139.8, "t4": 14.7}
    for name, gib in reported.items():
        assert 0.96 * gib < hardware(name).usable_bytes / GIB < gib
