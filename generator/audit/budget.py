"""The budgets of a spec: which stages install more than they may."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leangen.generator.audit.cost import Cost, known_cost
from leangen.generator.project import Project
from leangen.generator.report.answer import NO, Answer
from leangen.generator.run.jobs import environment_of
from leangen.spec import Budget, Diagnostic, Spec, diagnostic_at

MEGA = 1_000_000
CODE = "budget"


def over_budget(spec: Spec, costs: Mapping[str, Cost]) -> list[Diagnostic]:
    """List what stages install beyond their budgets; costs: by stage."""
    found = []
    for budget in spec.budget:
        cost = costs.get(budget.stage)
        if cost is None:
            found.append(_finding(spec, budget, "", "there is no such stage"))
        elif cost.packages is None or cost.size is None:
            unknown = "what it installs was not measured: see leangen audit"
            found.append(_finding(spec, budget, "", unknown))
        else:
            found += _excesses(spec, budget, cost.packages, cost.size / MEGA)
    return found


def _excesses(
    spec: Spec, budget: Budget, packages: int, megabytes: float
) -> list[Diagnostic]:
    found = []
    if budget.max_packages is not None and packages > budget.max_packages:
        found.append(_finding(spec, budget, "max_packages", f"it installs {packages}"))
    if budget.max_megabytes is not None and megabytes > budget.max_megabytes:
        message = f"it installs {megabytes:,.1f} MB"
        found.append(_finding(spec, budget, "max_megabytes", message))
    return found


def _finding(spec: Spec, budget: Budget, field: str, message: str) -> Diagnostic:
    path = ".".join(filter(None, ("budget", budget.stage, field)))
    remedy = f"leangen audit --annotate {budget.stage} shows which import brings what"
    return diagnostic_at(spec, path, code=CODE, message=message, suggestion=remedy)


def within_budgets(answer: Answer, projects: Sequence[Project]) -> Answer:
    """Add to an answer what the committed figures say of the budgets: no network."""
    found = [finding for project in projects for finding in _known_excesses(project)]
    if not found:
        return answer
    diagnostics = [*answer.diagnostics, *found]
    return replace(answer, diagnostics=diagnostics, exit_code=answer.exit_code or NO)


def _known_excesses(project: Project) -> list[Diagnostic]:
    scripts = {budget.stage: f"{budget.stage}.py" for budget in project.spec.budget}
    costs = {
        stage: known_cost(environment_of(project.files, script), ())
        for stage, script in scripts.items()
        if script in project.files
    }
    return over_budget(project.spec, costs)
