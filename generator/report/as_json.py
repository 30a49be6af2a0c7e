"""A plan as facts, for --json: bytes are integers, times are in seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from leangen.generator.plan import Plan
from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.suggest import Suggestion
from leangen.generator.report.measured import Measured


def facts(
    planned: Plan, found: Sequence[Suggestion], measured: Mapping[str, Measured]
) -> dict[str, Any]:
    """Describe a plan for --json; bytes are integers, times seconds from least to most."""
    return {
        "name": planned.name,
        "fits": planned.fits,
        "model": {
            "parameters": planned.parameters,
            "active_parameters": planned.active_parameters,
            "exported_bytes": planned.exported_bytes,
            "kv_bytes_per_token": planned.kv_bytes_per_token,
        },
        "stages": {
            name: _stage_facts(stage, measured.get(name))
            for name, stage in planned.stages.items()
        },
        "warnings": list(planned.warnings),
        "suggestions": [
            {
                "change": dict(suggestion.change),
                "stage": suggestion.stage,
                "peak_bytes": suggestion.peak_bytes,
                "saved_bytes": suggestion.saved_bytes,
            }
            for suggestion in found
        ],
    }


def _stage_facts(stage: StagePlan, measured: Measured | None) -> dict[str, Any]:
    described = {
        "fits": stage.fits,
        "tight": stage.tight,
        "peak_bytes": stage.peak_bytes,
        "budget_bytes": stage.place.budget_bytes,
        "seconds": list(stage.seconds) if stage.seconds else None,
        "device": stage.place.device,
        "hardware": stage.place.hardware.id,
        "moment": stage.moment,
        "decisions": list(stage.decisions),
        "ledger": [vars(item) for item in stage.ledger],
    }
    if measured:
        described["measured_bytes"] = measured.measured_bytes
        described["planned_bytes_when_measured"] = measured.planned_bytes
    return described
