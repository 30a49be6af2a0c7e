"""Where a stage runs, and how many bytes it may take there."""

from dataclasses import dataclass

from leangen.spec import Hardware, Spec


@dataclass(frozen=True)
class Place:
    """The machine of a stage, and the budget of its memory there.

    `device` is cpu or cuda: whose memory is counted. `budget_bytes` is None for the host of
    a GPU, whose memory no spec names; `field` is where the spec sets it. `trains`: whether
    train.hardware names the machine, and not target.hardware.
    """

    device: str
    hardware: Hardware
    budget_bytes: int | None
    field: str = "target.vram_budget"
    trains: bool = False


def training_place(spec: Spec) -> Place:
    """Find where a stage trains: with the target's budget where that is the target."""
    hardware, target = spec.train.hardware, spec.target
    if hardware == target.hardware:
        return Place(hardware.kind, hardware, target.vram_budget, trains=True)
    budget = hardware.usable_bytes
    return Place(hardware.kind, hardware, budget, field="train.hardware", trains=True)


def target_place(spec: Spec, device: str, asked: bool = False) -> Place:
    """Find what a stage may take of the target: nothing is said of the host of a GPU.

    `asked`: whether a budget that the author wrote is meant for this stage on any device.
    """
    target = spec.target
    beside = device != target.hardware.kind and not target.hardware.shared
    limited = not beside or (asked and target.budget_given)
    return Place(device, target.hardware, target.vram_budget if limited else None)
