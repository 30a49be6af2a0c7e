"""Rules on where a model is trained and served: hardware, and engines."""

import re
from collections.abc import Mapping
from typing import Any

from leangen.spec.catalogue.engines import Engine, engines
from leangen.spec.catalogue.hardware import CUSTOM, machines
from leangen.spec.check.wording import EXAMPLES, either
from leangen.spec.defaults import engine_row, machine, serving
from leangen.spec.rules.rule import Problem, rule
from leangen.spec.text.document import shorten
from leangen.spec.text.scalars import write_quantity

Section = Mapping[str, Any] | None

LONGEST_NAME = 253  # characters of a host name
OCTETS = {str(number) for number in range(256)}
_LABEL = re.compile("[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
SERVING = (
    "serve.engine",
    "serve.device",
    "target.hardware",
    "custom_hardware",
    "model",
)
ON_CPU = "serve: {device: cpu}"


@rule("train.precision", "train.hardware", "target.hardware", "custom_hardware")
def bf16_has_units(
    precision: str | None, trainer: str | None, target: str, section: Section
) -> Problem | None:
    """Arithmetic in bf16 needs hardware that has it."""
    place = machine(trainer or target, section)
    if precision != "bf16" or place is None or place.has_bf16:
        return None
    able = [name for name in EXAMPLES["hardware"] if machines()[name].has_bf16]
    where = f"such as {either(able)} (see leangen list hardware)"
    return Problem(
        "train.precision",
        f"{place.id} has no bf16 arithmetic",
        f"float32, or a train.hardware that has it, {where}",
        "float32",
    )


@rule("target.vram_budget", "target.hardware", "custom_hardware")
def budget_fits_hardware(
    budget: int | None, hardware: str, section: Section
) -> Problem | None:
    """A budget is a part of the memory that there is."""
    place = machine(hardware, section)
    if budget is None or place is None or budget <= place.memory_bytes:
        return None
    most = write_quantity("bytes", place.memory_bytes)
    message = f"{write_quantity('bytes', budget)} is more than the memory of {hardware}"
    return Problem("target.vram_budget", message, f"at most {most}", most)


@rule("target.hardware", "train.hardware", "custom_hardware")
def custom_is_described(
    target: str, trainer: str | None, section: Section
) -> Problem | None:
    """The name custom and its section need each other."""
    named = CUSTOM in (target, trainer)
    if named and section is None:
        remedy = "add it: kind, memory, bandwidth_gb_s and float32_tflops"
        return Problem("custom_hardware", "is missing", suggestion=remedy)
    if section is not None and not named:
        remedy = "delete it, or write target.hardware: custom"
        return Problem("custom_hardware", "nothing names it", suggestion=remedy)
    return None


@rule(*SERVING)
def engine_runs_there(
    engine: str | None, device: str | None, hardware: str, section: Section, shape: Any
) -> Problem | None:
    """An engine needs a device that it supports, and that the hardware has."""
    place = machine(hardware, section)
    if place is None:
        return None
    engine, device = serving(engine, device, place, shape)
    if device == "cuda" and place.kind == "cpu":
        remedy = "write cpu, or name other hardware"
        return Problem("serve.device", f"{hardware} has no GPU", suggestion=remedy)
    if engine_row(engine, device) is None:
        able = [row.engine for row in engines().values() if row.device == device]
        return Problem(
            "serve.engine", f"{engine} does not run on {device}", either(able), able[0]
        )
    return None


@rule("quantization.weights", *SERVING)
def engine_multiplies_bits(bits: int, *asked: Any) -> Problem | None:
    """An engine needs kernels for the bits of the weights."""
    row = _engine(*asked)
    if row is None or bits in row.weights:
        return None
    way = bits in engines()["onnxruntime-cpu"].weights
    return _not_of(row, "quantization.weights", f"{bits}-bit weights", row.weights, way)


@rule("quantization.kv_cache", *SERVING)
def engine_holds_bits(bits: int | None, *asked: Any) -> Problem | None:
    """An engine holds keys and values in the bits that it has kernels for."""
    row = _engine(*asked)
    if row is None or bits is None or bits in row.kv_cache:
        return None
    way = bits in engines()["onnxruntime-cpu"].kv_cache
    return _not_of(row, "quantization.kv_cache", f"{bits}-bit cache", row.kv_cache, way)


def _engine(
    engine: str | None, device: str | None, hardware: str, section: Section, shape: Any
) -> Engine | None:
    """Look up what serves, None where it does not run."""
    place = machine(hardware, section)
    return engine_row(*serving(engine, device, place, shape)) if place else None


def _not_of(
    row: Engine, field: str, what: str, able: tuple[int, ...], way: bool
) -> Problem:
    """Name the bits that an engine has; `way`: whether the CPU of a GPU's host is one, too."""
    message = f"{row.engine} on {row.device} has no {what}"
    expected = either(list(map(str, able)))
    if way and row.engine == "torch":
        expected += f", or {ON_CPU}"
    return Problem(field, message, expected, str(able[0]))


@rule("serve.host")
def host_is_an_address(host: str) -> Problem | None:
    """A server listens on what the network can resolve."""
    if is_address(host):
        return None
    bare = re.sub(r"^[a-z]+://|/.*$|\]?:\d+/?$|[\[\]]", "", host.strip())
    return Problem(
        "serve.host",
        f"{shorten(host)} is not an address",
        "a host name, an IPv4 or an IPv6 address, without a port",
        bare if is_address(bare) else "",
    )


def is_address(host: str) -> bool:
    """Tell whether a text is a host name, an IPv4 or an IPv6 address."""
    if ":" in host:
        return _is_ipv6(host)
    labels = host.split(".")
    if labels[-1].isdecimal():
        return len(labels) == 4 and all(label in OCTETS for label in labels)
    return len(host) <= LONGEST_NAME and all(map(_LABEL.fullmatch, labels))


def _is_ipv6(host: str) -> bool:
    from ipaddress import IPv6Address  # rarely needed, and slow to import

    try:
        return not IPv6Address(host).scope_id
    except ValueError:
        return False


RULES = (
    bf16_has_units,
    budget_fits_hardware,
    custom_is_described,
    engine_runs_there,
    engine_multiplies_bits,
    engine_holds_bits,
    host_is_an_address,
)
