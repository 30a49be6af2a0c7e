"""Recovery: training with the zeros held, and the dense model as teacher if asked for, or by layers."""

from leangen.generator.plan.ledger import StagePlan
from leangen.generator.plan.parameters import Counts, count
from leangen.generator.plan.recover_layers import plan_recover_layers
from leangen.generator.plan.step import training_of
from leangen.generator.plan.train import plan_training
from leangen.spec import Spec


def plan_recover(spec: Spec, _: Counts) -> StagePlan:
    """Plan the recovery after pruning."""
    recover = spec.sparsity.recover
    if recover and recover.by_layers:
        return plan_recover_layers(spec, recover)
    return plan_training("recover", training_of(spec, count(spec.pruned), recover))
