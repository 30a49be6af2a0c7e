"""How single values are read: YAML 1.2's core rules, and quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leangen.spec.text.scalars import (
    UNITS,
    Scalar,
    mend_quantity,
    read_quantity,
    resolve,
    write_quantity,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:4", "2:4"),
        ("no", "no"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("Null", None),
        ("", None),
        ("1e-3", 0.001),
        ("3e4", 30_000.0),
        ("-.5", -0.5),
        ("+12", 12),
        ("017", 17),
        ("0o17", 15),
        ("0xff", 255),
        ("0b1", "0b1"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_values_follow_yaml_1_2(text: str, value: Scalar) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("count", "20M", 20_000_000),
        ("count", "1.5k", 1500),
        ("count", "2e6", 2_000_000),
        ("count", "13B", 13_000_000_000),
        ("context", "32k", 32_768),
        ("context", "1M", 1_048_576),
        ("bytes", "16GiB", 2**34),
        ("bytes", "16 GB", 16_000_000_000),
        ("bytes", "512", 512),
        ("count", "1.0001k", None),
        ("count", "20m", None),
        ("count", "-1", None),
        ("count", "1e999", None),
        ("count", "9" * 5000, None),
        ("context", "32KiB", None),
        ("bytes", "16Gi", None),
        ("bytes", "", None),
    ],
)
def test_quantities(kind: str, text: str, value: int | None) -> None:
    assert read_quantity(kind, text) == value


@given(st.sampled_from(sorted(UNITS)), st.integers(0, 10**15))
def test_a_quantity_reads_as_what_was_written(kind: str, value: int) -> None:
    assert read_quantity(kind, write_quantity(kind, value)) == value


@given(st.sampled_from(sorted(UNITS)), st.text(max_size=30))
def test_a_mended_quantity_is_a_quantity(kind: str, text: str) -> None:
    mended = mend_quantity(kind, text)
    assert mended == "" or read_quantity(kind, mended) is not None


def test_what_is_written_is_short() -> None:
    assert write_quantity("bytes", 2**34) == "16GiB"
    assert write_quantity("count", 20_000_000) == "20M"
    assert write_quantity("context", 384) == "384"
    assert mend_quantity("bytes", "16g") == "16GiB"
