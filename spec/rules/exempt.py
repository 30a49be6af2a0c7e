"""Rules on what a pruning leaves dense: layers and projections that there are."""

from leangen.spec.check.wording import either
from leangen.spec.matrices import projections
from leangen.spec.rules.rule import Problem, idle, rule

FIELD = "sparsity.exempt"
Exempt = list[int | str] | None


@rule("sparsity.pattern", written=FIELD)
def dense_exempts_nothing(pattern: str, exempt: object) -> Problem | None:
    """Everything stays dense where nothing becomes zero."""
    if pattern != "dense" or exempt is None:
        return None
    return idle(FIELD, "pattern: dense", "delete it, or write a pattern such as 2:4")


@rule(FIELD)
def exempt_is_said_once(exempt: Exempt) -> Problem | None:
    """Nothing stays dense twice."""
    for place, name in enumerate(exempt or []):
        if name in (exempt or [])[:place]:
            again = f"{name} is exempt already"
            return Problem(f"{FIELD}[{place}]", again, suggestion="delete one of them")
    return None


@rule(FIELD, "model.num_hidden_layers", "model.architecture")
def exempt_is_of_the_model(exempt: Exempt, layers: int, family: str) -> Problem | None:
    """A layer has its number, from 0, and a projection the name that the family gives."""
    names = projections(family)
    for place, name in enumerate(exempt or []):
        if isinstance(name, str) and name not in names:
            message = f"{family} has no {name}"
            return Problem(f"{FIELD}[{place}]", message, either(names))
        if isinstance(name, int) and name >= layers:
            message = f"there is no layer {name}"
            return Problem(f"{FIELD}[{place}]", message, f"0 to {layers - 1}")
    return None


@rule(FIELD, "model.num_hidden_layers", "model.architecture")
def something_is_pruned(exempt: Exempt, layers: int, family: str) -> Problem | None:
    """A pattern is of some use."""
    for every in (range(layers), projections(family)):
        if set(exempt or []).issuperset(every):
            remedy = "shorten the list, or write pattern: dense"
            return Problem(FIELD, "leaves nothing to prune", suggestion=remedy)
    return None


RULES = (
    dense_exempts_nothing,
    exempt_is_said_once,
    exempt_is_of_the_model,
    something_is_pruned,
)
