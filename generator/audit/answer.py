"""What audit answers: a table of the stages beside what they are usually made of."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from leangen.generator.audit.budget import over_budget
from leangen.generator.audit.cost import Cost, committed
from leangen.generator.audit.price import MANY, Price
from leangen.generator.audit.stages import Audited, Stack, audit
from leangen.generator.project import Project
from leangen.generator.report.answer import NO, Answer

MEGA = 1_000_000
HEAD = ("stage", "used", "packages", "MB", "import s", "memory MB", "times as many MB")
UNKNOWN = "-"  # nobody measured it
WHEELS = (
    "(wheels)"  # bytes to download, compressed: not to be compared with those installed
)


def audited(project: Project, price: Price | None, *, offline: bool) -> Answer:
    """Tell what the imports of each stage cost; whether that is within the budgets."""
    stages = list(audit(project, offline=offline))
    lines = [*_heading(project, offline), *_table(stages), *_sums(stages)]
    if price:
        lines += ["", *_money(stages, price)]
    costs = {stage.stage: stage.cost for stage in stages}
    found = over_budget(project.spec, costs)
    return Answer(
        text="\n".join(lines) + "\n",
        specs=[{"name": project.spec.name, **_facts(stages, price)}],
        exit_code=NO if found else 0,
        diagnostics=found,
    )


def _heading(project: Project, offline: bool) -> Iterator[str]:
    which = "all" if offline else "stages measured here, the rest"
    yield f"{project.spec.name}: what each stage imports, and, indented, what it is usually made of"
    yield f"{which} as committed: measured on {committed()['machine']}"
    yield ""


def _table(stages: Sequence[Audited]) -> Iterator[str]:
    rows = [HEAD]
    for stage in stages:
        used = f"{stage.active}/{stage.total}"
        rows.append((stage.stage, used, *_cells(stage.cost), ""))
        for number, stack in enumerate(stage.usual):
            ratio = _times(stage.ratio) if not number else ""
            rows.append((f"  {stack.name}", "", *_stack_cells(stack), ratio))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for name, *cells in rows:
        padded = (f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=True))
        yield f"{name:<{widths[0]}}  {'  '.join(padded)}".rstrip()


def _cells(cost: Cost) -> tuple[str, str, str, str]:
    return (
        str(cost.packages) if cost.packages is not None else UNKNOWN,
        _megabytes(cost.size),
        f"{cost.seconds:.2f}" if cost.seconds is not None else UNKNOWN,
        _megabytes(cost.memory),
    )


def _stack_cells(stack: Stack) -> tuple[str, str, str, str]:
    packages, size, seconds, memory = _cells(stack.cost)
    if stack.wheels:
        size = f"{WHEELS} {_megabytes(stack.wheels)}"
    return packages, size, seconds, memory


def _megabytes(size: int | None) -> str:
    return f"{size / MEGA:,.1f}" if size is not None else UNKNOWN


def _times(ratio: float | None) -> str:
    return f"{ratio:.1f}" if ratio is not None else UNKNOWN


def _compared(stages: Sequence[Audited]) -> list[Audited]:
    return [stage for stage in stages if stage.ratio is not None]


def _sums(stages: Sequence[Audited]) -> Iterator[str]:
    """Add up, and multiply, the stages that there is something to compare with."""
    found = _totals(stages)
    if found:
        product, count = found["product_of_ratios"], found["stages"]
        yield ""
        sums = (
            f"{_megabytes(found['size'])} MB, usually {_megabytes(found['usual_size'])}"
        )
        yield f"{count} stages that can be compared install {sums},"
        yield (
            f"{found['ratio_of_sums']:.1f} times as many in sum; the product of the stages' "
            f"ratios is {product:,.0f}, {product ** (1 / count):.1f} each on geometric average"
        )


def _totals(stages: Sequence[Audited]) -> dict[str, Any]:
    """Sum the bytes of the stages, and multiply their ratios."""
    compared = _compared(stages)
    if not compared:
        return {}
    size = sum(stage.cost.size or 0 for stage in compared)
    usual = sum(stage.usual[0].cost.size or 0 for stage in compared)
    return {
        "stages": len(compared),
        "size": size,
        "usual_size": usual,
        "ratio_of_sums": usual / size,
        "product_of_ratios": math.prod(stage.ratio or 1 for stage in compared),
    }


def _money(stages: Sequence[Audited], price: Price) -> Iterator[str]:
    yield f"at {price.an_hour:g} an hour; {price.formula}"
    for stage in stages:
        costs = [
            (stage.stage, stage.cost),
            *((f"  {s.name}", s.cost) for s in stage.usual),
        ]
        for name, cost in costs:
            if cost.seconds is not None:
                once = price.of(cost.seconds)
                yield f"{name}: {once:.7f} a start, {once * MANY:,.2f} a million"


def _facts(stages: Sequence[Audited], price: Price | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "stages": {
            stage.stage: {
                "imports": {"active": stage.active, "total": stage.total},
                **_priced(stage.cost, price),
                "usual": [
                    {"stack": s.name, **_priced(s.cost, price), "wheels": s.wheels}
                    for s in stage.usual
                ],
                "ratio": stage.ratio,
            }
            for stage in stages
        },
        "totals": _totals(stages),
        "machine_of_committed": committed()["machine"],
    }
    return facts | ({"formula": price.formula} if price else {})


def _priced(cost: Cost, price: Price | None) -> dict[str, Any]:
    """Describe a cost for --json, with what a start costs where there is a price."""
    facts = dict(vars(cost))
    if price:
        seconds = cost.seconds
        facts["a_start"] = price.of(seconds) if seconds is not None else None
    return facts
