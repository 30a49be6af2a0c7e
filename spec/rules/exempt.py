"""Rules on what a pruning leaves dense: there is such, and none is named twice."""

from leangen.spec.matrices import Name, named, projections
from leangen.spec.rules.names import Listed, of_no_model, said_again
from leangen.spec.rules.rule import Problem, idle, rule

FIELD = "sparsity.exempt"
Exempt = list[Name] | None


@rule("sparsity.pattern", written=FIELD)
def dense_exempts_nothing(pattern: str, exempt: object) -> Problem | None:
    """Everything stays dense where nothing becomes zero."""
    if pattern != "dense" or exempt is None:
        return None
    return idle(FIELD, "pattern: dense", "delete it, or write a pattern such as 2:4")


@rule(FIELD)
def exempt_is_said_once(exempt: Exempt) -> Problem | None:
    """Nothing stays dense twice."""
    return said_again(_listed(exempt), "exempt")


@rule(FIELD, "model.num_hidden_layers", "model.architecture")
def exempt_is_of_the_model(exempt: Exempt, layers: int, family: str) -> Problem | None:
    """A layer has its number, from 0, and a projection the name that the family gives."""
    return of_no_model(_listed(exempt), layers, family)


@rule(FIELD, "model.num_hidden_layers", "model.architecture")
def something_is_pruned(exempt: Exempt, layers: int, family: str) -> Problem | None:
    """A pattern is of some use."""
    names = projections(family)
    if len(named(exempt or [], layers, names)) < layers * len(names):
        return None
    remedy = "shorten the list, or write pattern: dense"
    return Problem(FIELD, "leaves nothing to prune", suggestion=remedy)


def _listed(exempt: Exempt) -> Listed:
    """List every name with the path where it stands."""
    return [(f"{FIELD}[{place}]", name) for place, name in enumerate(exempt or [])]


RULES = (
    dense_exempts_nothing,
    exempt_is_said_once,
    exempt_is_of_the_model,
    something_is_pruned,
)
