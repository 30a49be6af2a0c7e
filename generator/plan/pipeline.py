"""Spec -> Plan: what every stage holds in bytes, and the decisions that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from leangen.generator.plan.calibrate import plan_calibrate
from leangen.generator.plan.data import plan_data
from leangen.generator.plan.evaluate import plan_evaluate
from leangen.generator.plan.exemptions import plan_exemptions
from leangen.generator.plan.export import plan_export
from leangen.generator.plan.formats import plan_compressed_tensors, plan_gguf
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.notes import tightness, warnings
from leangen.generator.plan.parameters import Counts, count
from leangen.generator.plan.prune import plan_prune
from leangen.generator.plan.quantize import plan_quantize
from leangen.generator.plan.recover import plan_recover
from leangen.generator.plan.sensitivity import plan_sensitivity
from leangen.generator.plan.serve import (
    cache_of,
    engine_name,
    exported_bytes,
    plan_serve,
)
from leangen.generator.plan.train import plan_train
from leangen.generator.stages import stages_of
from leangen.spec import Spec

PLANNERS: Mapping[str, Callable[[Spec, Counts], StagePlan]] = {
    "data": plan_data,
    "train": plan_train,
    "exemptions": plan_exemptions,
    "prune": plan_prune,
    "recover": plan_recover,
    "quantize": plan_quantize,
    "sensitivity": plan_sensitivity,
    "export": plan_export,
    "calibrate": plan_calibrate,
    "export_compressed_tensors": plan_compressed_tensors,
    "export_gguf": plan_gguf,
    "evaluate": plan_evaluate,
    "serve": plan_serve,
}


AFTER_PRUNING = (
    "quantize",
    "sensitivity",
    "export",
    "export_compressed_tensors",
    "export_gguf",
    "serve",
)


@dataclass(frozen=True)
class Plan:
    """Figures of a model before anything runs; stages are by name.

    engine: what serves, and on which device.
    """

    name: str
    engine: str
    parameters: int
    active_parameters: int
    exported_bytes: int
    kv_bytes_per_token: int
    stages: Mapping[str, StagePlan]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every stage is within its budget."""
        return all(stage.fits for stage in self.stages.values())


def plan(spec: Spec) -> Plan:
    """Account for a spec, and decide what its scripts hold as constants."""
    left = replace(spec, model=spec.pruned)
    counts, fewer = count(spec.model), count(left.model)
    names = [stage.name for stage in stages_of(spec) if stage.runs]
    stages = {
        name: PLANNERS[name](left, fewer)
        if name in AFTER_PRUNING
        else PLANNERS[name](spec, counts)
        for name in names
    }
    return Plan(
        name=spec.name,
        engine=engine_name(spec.engine),
        parameters=counts.total,
        active_parameters=counts.active_total,
        exported_bytes=exported_bytes(left, fewer),
        kv_bytes_per_token=cache_of(left).bytes_per_token,
        stages=stages,
        warnings=(*warnings(spec), *tightness(stages.values())),
    )
