"""What `leangen diff --against` and `leangen plan --against` answer."""

from collections.abc import Iterable
from pathlib import Path

from leangen.generator.against.compare import Comparison, compare
from leangen.generator.against.markdown import markdown as as_markdown
from leangen.generator.against.review import facts, review
from leangen.generator.against.text import text as as_text
from leangen.generator.project import Project
from leangen.generator.report.answer import WRONG, Answer
from leangen.generator.report.as_json import facts as plan_facts
from leangen.generator.report.built import differing
from leangen.generator.report.over_budget import LISTED, excesses, remedy_of
from leangen.spec import Diagnostic, LeangenError


def diff_against(specs: Iterable[Path], ref: str, out: Path) -> Answer:
    """Show what specs generate beside what they generated at a revision."""
    found, wrong = [], list[Diagnostic]()
    for spec in dict.fromkeys(specs):
        try:
            found.append(compare(spec, ref, out))
        except LeangenError as error:
            wrong += error.diagnostics
    wrong += [each for one in found if one.now for each in one.now.refusal]
    if wrong:
        raise LeangenError(dict.fromkeys(wrong))
    answers = [(one, differing([_project(one)])) for one in found]
    return Answer(
        "".join(_note(one) + answer.text for one, answer in answers),
        [
            dict(answer.specs[0]) | {"state": one.state, "commit": one.at.commit}
            for one, answer in answers
        ],
    )


def _project(found: Comparison) -> Project:
    """Take the revision for the disk: a project of what differs from it."""
    opened = found.now or found.was
    assert opened, "one of them is there"
    return Project(
        spec=opened.spec,
        plan=opened.plan,
        folder=opened.folder,
        files=opened.files if found.now else {},
        changes=found.changes,
        foreign=(),
    )


def _note(found: Comparison) -> str:
    """Say what else differs, in a line that `git apply` passes over."""
    return f"# {found.note}\n" if found.note else ""


def plan_against(
    spec: Path, ref: str, out: Path, *, markdown: bool, json: bool
) -> Answer:
    """Tell what a change does: to fields, bytes, times, stages and files.

    The exit code is that of a plan, but where nothing changed.
    """
    found = review(compare(spec, ref, out))
    now = found.comparison.now
    described = {"against": facts(found)}
    if now:
        described |= plan_facts(now.plan, found.found, {})
    text = (as_markdown if markdown else as_text)(found)
    if not now or now.plan.fits or found.is_silent:
        return Answer(text, [described], document=described)
    remedy = LISTED if found.found and not json else remedy_of(found.found)
    over = excesses(now.spec, now.plan, remedy)
    return Answer(text, [described], WRONG, over, document=described)
