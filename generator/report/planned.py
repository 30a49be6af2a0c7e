"""What `leangen plan` answers: the ledger in words or tables, and whether it fits."""

from collections.abc import Mapping

from leangen.generator.plan import plan
from leangen.generator.plan.suggest import suggestions
from leangen.generator.plan.table import table
from leangen.generator.report.answer import WRONG, Answer
from leangen.generator.report.as_json import facts
from leangen.generator.report.fit_table import fit_table
from leangen.generator.report.markdown import markdown as as_markdown
from leangen.generator.report.measured import Measured
from leangen.generator.report.over_budget import LISTED, excesses, remedy_of
from leangen.generator.report.terminal import text as as_text
from leangen.spec import Spec


def answer(
    spec: Spec,
    peaks: Mapping[str, Measured],
    *,
    fit: bool,
    markdown: bool,
    json: bool,
) -> Answer:
    """Plan a spec; fit: show what else would fit in place of the ledger.

    The changes that make it fit are listed once: in the text, or else in the error.
    """
    planned = plan(spec)
    found = [] if planned.fits else suggestions(spec, planned)
    described = facts(planned, found, peaks)
    if fit:
        rows = table(spec)
        text = fit_table(planned, rows, markdown)
        described["fit"] = list(map(vars, rows))
    else:
        text = (as_markdown if markdown else as_text)(planned, found, peaks)
    listed = found and not (fit or json)
    wrong = excesses(spec, planned, LISTED if listed else remedy_of(found))
    return Answer(text, [described], WRONG if wrong else 0, wrong, document=described)
