"""The stages of a project, with what their imports cost, and what they usually cost."""

from collections.abc import Iterator
from dataclasses import dataclass

from leangen.generator.audit.cost import Cost, committed, cost_in, known_cost, probe
from leangen.generator.audit.imports import reached, use_of
from leangen.generator.environments.make import python_of
from leangen.generator.project import Project
from leangen.generator.run.jobs import code_of, environment_of
from leangen.generator.stages import Stage, stages_of
from leangen.spec.catalogue.rows import read_rows


@dataclass(frozen=True)
class Stack:
    """What a stage is usually made of; wheels: bytes to download, where that is all we know."""

    name: str
    cost: Cost
    wheels: int | None


@dataclass(frozen=True)
class Audited:
    """A stage: how many imported names it uses, of how many, and what they cost.

    usual: the stacks that others make it of, the one to compare with first.
    """

    stage: str
    active: int
    total: int
    cost: Cost
    usual: tuple[Stack, ...]

    @property
    def ratio(self) -> float | None:
        """Tell how many times as many bytes the usual stack installs."""
        usual = self.usual[0].cost.size if self.usual else None
        return usual / self.cost.size if usual and self.cost.size else None


def scripts_of(project: Project) -> list[Stage]:
    """List the stages that are scripts, those included that no run starts."""
    found = stages_of(project.spec)
    return [stage for stage in found if stage.runs or stage.by_hand]


def audit(project: Project, *, offline: bool) -> Iterator[Audited]:
    """Measure each stage in its environment, made where it is not; or look it up."""
    for stage in scripts_of(project):
        codes = [project.files[name] for name in code_of(project.files, stage.script)]
        active, total = use_of(codes)
        yield Audited(
            stage=stage.name,
            active=active,
            total=total,
            cost=cost_of(project, stage, offline=offline),
            usual=tuple(_usual(stage.name)),
        )


def cost_of(project: Project, stage: Stage, *, offline: bool) -> Cost:
    """Tell what the imports of a stage take."""
    modules = [module for _, module in reached(project.files, stage.script)]
    wanted = environment_of(project.files, stage.script)
    if offline:
        return known_cost(wanted, modules)
    statements = [f"import {module}" for module in modules]
    return probe(python_of(wanted), [statements]).cost


def _usual(stage: str) -> Iterator[Stack]:
    """List the stacks that a stage is usually made of, with what was measured of them."""
    for name, row in read_rows("stacks.yaml").items():
        if stage in row["stages"]:
            found = committed()["stacks"][name]
            wheels = found.get("wheels")
            yield Stack(name, cost_in(found), wheels)
