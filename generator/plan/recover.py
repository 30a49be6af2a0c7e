"""Recovery: training with the zeros held, and the dense model as teacher if asked for."""

from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.parameters import Counts, count
from leangen.generator.plan.step import training_of
from leangen.generator.plan.train import plan_training
from leangen.spec import Spec


def plan_recover(spec: Spec, _: Counts) -> StagePlan:
    """Plan the recovery after pruning."""
    recover = spec.sparsity.recover
    return plan_training("recover", training_of(spec, count(spec.pruned), recover))
