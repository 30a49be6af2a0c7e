"""Which stages a spec has, and what each of them reads and writes."""

from leangen.generator.stages.stage import Stage
from leangen.generator.stages.table import STAGES, makers_of, stages_of

__all__ = ["STAGES", "Stage", "makers_of", "stages_of"]
