"""The hardware that a spec may name, read from hardware.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from leangen.spec.catalogue.rows import read_rows
from leangen.spec.errors import LeangenError

GIB = 1024**3
CUSTOM = "custom"  # names what the section custom_hardware describes
DRIVER = 0.97  # of a card's memory is left by the driver and its context
ECC = 15 / 16  # of GDDR is left when error correction keeps its bits there
SHARED = 0.75  # of memory that the operating system uses too


@dataclass(frozen=True)
class Hardware:
    """One machine; rates are peaks of dense arithmetic, a second.

    `usable_bytes` is what a stage may take of `memory_bytes`; `bandwidth` is in
    bytes a second; a rate is 0 where there are no units for it. `shared`: a GPU that has no memory of
    its own.
    """

    id: str
    name: str
    kind: str
    memory_bytes: int
    usable_bytes: int
    bandwidth: float
    flops_float32: float
    flops_bf16: float
    flops_float16: float
    ops_int8: float
    flops_fp8: float
    compute_capability: str
    sparse_24: bool
    shared: bool
    source: str

    @property
    def has_bf16(self) -> bool:
        """Whether training in bf16 works here."""
        return self.flops_bf16 > 0


@cache
def machines() -> Mapping[str, Hardware]:
    """Read every row of hardware.yaml, by id, in the order of the file."""
    rows = read_rows("hardware.yaml")
    return MappingProxyType({id: _hardware(id, row) for id, row in rows.items()})


def hardware(id: str) -> Hardware:
    """Look one machine up; raises LeangenError for an id that is not there."""
    if id not in machines():
        raise LeangenError.of(
            f"{id!r} is not in the hardware catalogue",
            remedy="choose a name that leangen list hardware prints",
            code="unknown-hardware",
        )
    return machines()[id]


def custom(section: Mapping[str, Any]) -> Hardware:
    """Make the hardware that a spec describes in its section custom_hardware."""
    row = dict(section) | {"memory_gib": section["memory"] / GIB}
    named = {"name": "described in the spec", "source": "custom_hardware"}
    return _hardware(CUSTOM, named | row)


def _hardware(id: str, row: Mapping[str, Any]) -> Hardware:
    """Turn a row's GiB, GB/s and TFLOPS into bytes and operations."""
    memory = int(row["memory_gib"] * GIB)
    return Hardware(
        id=id,
        name=row["name"],
        kind=row["kind"],
        memory_bytes=memory,
        usable_bytes=int(memory * _share(row)),
        bandwidth=row["bandwidth_gb_s"] * 1e9,
        flops_float32=row["float32_tflops"] * 1e12,
        flops_bf16=row.get("bf16_tflops", 0) * 1e12,
        flops_float16=row.get("float16_tflops", 0) * 1e12,
        ops_int8=row.get("int8_tops", 0) * 1e12,
        flops_fp8=row.get("fp8_tflops", 0) * 1e12,
        compute_capability=row.get("compute_capability", ""),
        sparse_24=row.get("sparse_24", False),
        shared=row.get("shared", False),
        source=row["source"],
    )


def _share(row: Mapping[str, Any]) -> float:
    """Tell what part of a row's nominal memory a stage may take."""
    if row["kind"] == "cpu" or row.get("shared"):
        return SHARED
    return DRIVER * (ECC if row.get("ecc") else 1)
