"""Rules on recovery: what layers learn from, and pruning that goes on meanwhile."""

from leangen.spec.rules.rule import Problem, idle, rule

SCOPE, DISTILL = "sparsity.recover.scope", "sparsity.recover.distill"
STEPS, REWIND = "sparsity.steps", "sparsity.recover.rewind"


@rule(SCOPE, written=DISTILL)
def layers_predict_nothing(scope: str | None, distill: bool | None) -> Problem | None:
    """A layer learns from the dense one; predictions come behind the last."""
    if scope != "layers" or not distill:
        return None
    return idle(DISTILL, "scope: layers", "delete it: the dense layers teach anyway")


@rule(SCOPE, "sparsity.pattern", "sparsity.layers")
def layers_have_another(
    scope: str | None, pattern: str, gone: float | None
) -> Problem | None:
    """A layer learns from the one that it came from."""
    if scope != "layers" or pattern != "structured" or gone is None:
        return None
    message = "where layers go, those before them have no dense one to learn from"
    return Problem(SCOPE, message, suggestion="write scope: model")


@rule("sparsity.pattern", "sparsity.recover", SCOPE, written=STEPS)
def steps_go_with_a_recovery(
    pattern: str, recover: object, scope: str | None, steps: int | None
) -> Problem | None:
    """All steps but the first are taken while the whole model trains."""
    if steps is None or steps == 1:
        return None
    if pattern in ("dense", "structured"):
        return idle(STEPS, f"pattern: {pattern}", "delete it")
    if recover is None:
        message = "all steps but the first are taken while the model recovers"
        remedy = "add recover, such as recover: {tokens: 10M}; or delete steps"
        return Problem(STEPS, message, suggestion=remedy)
    if scope == "layers":
        message = "layers that recover one by one are pruned at once"
        return Problem(STEPS, message, suggestion="delete it, or write scope: model")
    return None


@rule("sparsity.pattern", written=STEPS)
def a_group_loses_whole_weights(pattern: str, steps: int | None) -> Problem | None:
    """In N:M each step takes at least one weight of a group."""
    if steps is None or ":" not in pattern:
        return None
    kept, group = map(int, pattern.split(":"))
    most = group - kept
    if steps <= most:
        return None
    message = f"a group of {pattern} loses {most} in all, at least one a step"
    return Problem(STEPS, message, suggestion=f"write steps: {most}, or less")


@rule("model.pretrained", SCOPE, "sparsity.pattern", written=REWIND)
def a_ticket_is_drawn_in_training(
    given: bool | None, scope: str | None, pattern: str, rewind: float | None
) -> Problem | None:
    """Early weights are there where train.py makes all of them."""
    if rewind is None:
        return None
    if given:
        message = "a given model has no early weights: its training was elsewhere"
        return Problem(REWIND, message, suggestion="delete it")
    if scope == "layers":
        message = "layers that recover one by one learn from the trained ones"
        return Problem(REWIND, message, suggestion="delete it, or write scope: model")
    return None


RULES = (
    a_ticket_is_drawn_in_training,
    layers_predict_nothing,
    layers_have_another,
    steps_go_with_a_recovery,
    a_group_loses_whole_weights,
)
