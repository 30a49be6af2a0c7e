"""Rules on a recovery by layers: what its layers learn from, and what they do not have."""

from leangen.spec.rules.rule import Problem, idle, rule

SCOPE, DISTILL = "sparsity.recover.scope", "sparsity.recover.distill"


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


RULES = (layers_predict_nothing, layers_have_another)
