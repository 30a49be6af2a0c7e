"""The `leangen` command: one thin function a verb."""

import gc
import json
import os
import signal
import sys
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from leangen.generator.report.answer import (
    BUG,
    GITHUB,
    INTERRUPTED,
    IO_ERROR,
    JSON,
    SARIF,
    TERMINATED,
    TEXT,
    WRONG,
    Answer,
    emit,
    failure,
)
from leangen.spec import LeangenError

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

INPUT = "in YAML; - reads standard input."
Files = Annotated[list[Path], typer.Argument(metavar="SPEC...", help=f"Specs, {INPUT}")]
Out = Annotated[Path, typer.Option(help="Where each spec has a folder by its name.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Output = Annotated[
    Literal["text", "github", "sarif"],
    typer.Option(help="Print text, or only what is wrong: annotations, or SARIF."),
]
Against = Annotated[
    str | None,
    typer.Option(metavar="REF", help="Compare with the spec at a revision of git."),
]
YOUNG = 50_000  # objects between two searches for garbage: a command makes little
GENERATED, SWEEPS = Path("generated"), Path("sweeps")
UsageError: Any = typer.BadParameter.__base__  # of click, or of typer's copy of it


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """One page of YAML in, a handful of short scripts out."""
    if version:
        from importlib.metadata import version as version_of

        print(f"leangen {version_of('leangen')}")
        raise typer.Exit


@app.command()
def init(
    file: Annotated[
        Path | None,
        typer.Argument(help="The file to write; spec.yaml if not named."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A model's folder: see what of it fits."),
    ] = None,
    hardware: Annotated[
        str | None, typer.Option(help="Where it is to fit; x86-2core if not named.")
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Write workflows for pull requests, alone.")
    ] = False,
    pre_commit: Annotated[
        bool, typer.Option("--pre-commit", help="Write, or add, a hook for commits.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="OWNER/NAME@COMMIT",
            help="Where these find leangen on GitHub, if it was not installed from there.",
        ),
    ] = None,
    json: Json = False,
) -> Answer:
    """Write a commented spec that builds as it is, or what a repository runs leangen by."""
    from importlib.resources import files

    from leangen.generator.disk import create

    if github or pre_commit:
        from leangen.generator.repository import equip

        if file or checkpoint or hardware:
            raise typer.BadParameter("--github and --pre-commit write no spec")
        return equip(source, github=github, hooks=pre_commit)
    if source:
        raise typer.BadParameter("--from needs --github or --pre-commit")
    file = file or Path("spec.yaml")
    if checkpoint:
        from leangen.generator.starter import start

        return start(checkpoint, file, hardware or "x86-2core")
    if hardware:
        raise typer.BadParameter("--hardware needs --checkpoint")
    text = files("leangen.spec").joinpath("starter.yaml").read_text(encoding="utf-8")
    create(file, text)
    return Answer(f"wrote {file}; next: leangen build {file}\n", [{"file": str(file)}])


@app.command()
def plan(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help=f"A spec, {INPUT}")],
    out: Out = GENERATED,
    fit: Annotated[
        bool, typer.Option("--fit", help="Tabulate what fits: patterns, bits, context.")
    ] = False,
    measured: Annotated[
        bool, typer.Option("--measured", help="Show what the scripts measured, too.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables for a pull request.")
    ] = False,
    against: Against = None,
    json: Json = False,
    output: Output = TEXT,
) -> Answer:
    """Tell what every stage holds, byte by byte, whether it fits, and what would."""
    if against is not None:
        from leangen.generator.against.answer import plan_against

        if fit or measured:
            raise typer.BadParameter("--against goes with neither --fit nor --measured")
        return plan_against(spec, against, out, markdown=markdown, json=json)
    from leangen.generator.report.measured import read_measured
    from leangen.generator.report.planned import answer
    from leangen.spec import load

    loaded = load(spec, out)
    peaks = read_measured(out / loaded.name) if measured else {}
    return answer(loaded, peaks, fit=fit, markdown=markdown, json=json)


@app.command()
def build(
    specs: Files,
    out: Out = GENERATED,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that were edited by hand.")
    ] = False,
    hashes: Annotated[
        bool | None,
        typer.Option(
            "--hashes/--no-hashes",
            help="Put hashes into the requirements, or take them out; else as they are.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    output: Output = TEXT,
) -> Answer:
    """Write each spec's scripts: only what changed, and never over your edits."""
    from leangen.generator.open import open_projects
    from leangen.generator.project import write_project
    from leangen.generator.report.built import built, refused

    projects = open_projects(specs, out, hashes)
    refusal = refused(projects, force)
    return refusal or built([write_project(project, force) for project in projects])


def _scripts(start: str) -> list[str]:
    """Complete the name of a script or module."""
    from leangen.spec.check.schema import field_at

    names: list[str] = field_at(("ejected",))["items"]["enum"]
    return [name for name in names if name.startswith(start)]


@app.command()
def eject(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec, in YAML.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Scripts or modules, such as prune.py.",
            autocompletion=_scripts,
        ),
    ],
    out: Out = GENERATED,
    json: Json = False,
) -> Answer:
    """Make files of the folder yours: the spec names them, and build leaves them alone."""
    from leangen.generator.eject import eject as eject_files
    from leangen.generator.open import open_projects

    (project,) = open_projects([spec], out)
    return eject_files(project, spec, files, out)


@app.command()
def check(
    specs: Files, out: Out = GENERATED, json: Json = False, output: Output = TEXT
) -> Answer:
    """Tell whether the scripts are what the specs say, unedited, and in budget."""
    from leangen.generator.open import open_projects
    from leangen.generator.report.built import checked

    projects = open_projects(specs, out)
    answer = checked(projects)
    if any(project.spec.budget for project in projects):
        from leangen.generator.audit.budget import within_budgets

        answer = within_budgets(answer, projects)
    return answer


@app.command()
def diff(
    specs: Files,
    out: Out = GENERATED,
    against: Against = None,
    json: Json = False,
    output: Output = TEXT,
) -> Answer:
    """Show what build would change: the plan's figures, then a unified diff."""
    if against is not None:
        from leangen.generator.against.answer import diff_against

        return diff_against(specs, against, out)
    from leangen.generator.open import open_projects
    from leangen.generator.report.built import differing

    return differing(open_projects(specs, out))


@app.command()
def review(
    against: Annotated[
        str, typer.Option(metavar="REF", help="Compare with a revision of git.")
    ],
    specs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SPEC...]",
            help="Specs; those that changed, or whose folders did, if none is named.",
            show_default=False,
        ),
    ] = None,
    out: Out = GENERATED,
    comment: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the Markdown there: print none."),
    ] = None,
    json: Json = False,
    output: Output = TEXT,
) -> Answer:
    """Tell a pull request what its branch changes, and what was not built."""
    from leangen.generator.against.branch import review_branch

    return review_branch(specs or [], against, out, comment)


@app.command()
def run(
    specs: Files,
    out: Out = GENERATED,
    first: Annotated[
        str | None, typer.Option("--from", help="Stage to start with, done or not.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--until", help="Stage to end with; serve serves.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Tell what would run, and why; run nothing."),
    ] = False,
    isolated: Annotated[
        bool,
        typer.Option(
            "--isolated",
            help="Give each stage an environment of its own, kept for all.",
        ),
    ] = False,
    json: Json = False,
) -> Answer:
    """Run the stages whose script or inputs changed, in order."""
    from leangen.generator.open import open_projects
    from leangen.generator.run.outcome import facts, told
    from leangen.generator.run.run import prepare, preview, run_all

    projects = open_projects(specs, out)
    batches = prepare(projects, first, last, isolated=isolated)
    if dry_run:
        found = list(map(preview, batches))
        return Answer("".join(map(told, found)), list(map(facts, found)))
    found = run_all(batches, stdout=2 if json else None)
    return Answer("", list(map(facts, found)), found[-1].exit_code)


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help=f"A spec, {INPUT}")],
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=V1,V2",
            help="Values of a field; instead of the spec's section sweep.",
            show_default=False,
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=V1", help="Leave such variants out.", show_default=False
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Seeds to run each with; else sweep.repeat."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="Stages to run at once, on a machine.")
    ] = 1,
    on: Annotated[
        Literal["ray"] | None,
        typer.Option(help="Run on the machines of a Ray cluster.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Tell what would run; run and write nothing."),
    ] = False,
    isolated: Annotated[
        bool,
        typer.Option(
            "--isolated",
            help="Give each stage an environment of its own, kept for all.",
        ),
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Where each spec has a folder with its variants.")
    ] = SWEEPS,
    json: Json = False,
) -> Answer:
    """Run variants of a spec side by side, what they share once, and measure each."""
    from leangen.generator.sweep.answer import sweep as sweep_over

    return sweep_over(
        spec,
        out,
        over or [],
        without or [],
        repeat=repeat,
        jobs=jobs,
        dry_run=dry_run,
        isolated=isolated,
        on=on,
    )


@app.command()
def report(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help=f"A spec, {INPUT}")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the spec has a folder by its name; sweeps, or else generated.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> Answer:
    """Write a page of what a sweep measured, or a run: charts, figures, and words."""
    from leangen.generator.report.reported import report as report_on
    from leangen.spec import load

    return report_on(load(spec, out or GENERATED), out)


@app.command()
def audit(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help=f"A spec, {INPUT}")],
    out: Out = GENERATED,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Take what was committed; install nothing."),
    ] = False,
    price: Annotated[
        str | None,
        typer.Option(metavar="0.40/h", help="Tell what cold starts cost, too."),
    ] = None,
    annotate: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Print a script with its imports' costs."),
    ] = None,
    json: Json = False,
) -> Answer:
    """Tell what the imports of each stage cost, beside what is usual."""
    from leangen.generator.audit.annotate import annotated
    from leangen.generator.audit.answer import audited
    from leangen.generator.audit.price import price_in
    from leangen.generator.open import open_projects

    if annotate and price:
        raise typer.BadParameter("--annotate goes without --price")
    (project,) = open_projects([spec], out)
    if annotate:
        return annotated(project, annotate, offline=offline)
    return audited(project, price_in(price) if price else None, offline=offline)


@app.command()
def schema() -> Answer:
    """Print the JSON Schema of specs, for editors."""
    from leangen.spec.check.schema import for_editors

    return Answer(json.dumps(for_editors(), indent=2) + "\n")


@app.command(name="list")
def list_(
    what: Annotated[
        Literal["hardware", "models", "engines", "fields"],
        typer.Argument(help="What to list."),
    ],
    json: Json = False,
) -> Answer:
    """List what a spec may name, or every field with its range and default."""
    from leangen.spec.listing import listing

    text, rows = listing(what)
    return Answer(text, document={what: rows})


def _fields(start: str) -> list[str]:
    """Complete the name of a field, a section at a time."""
    from leangen.spec.explained import names

    return [name for name in names() if name.startswith(start)]


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            help="A field, a section, or FILE:LINE of a generated file.",
            autocompletion=_fields,
        ),
    ],
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC]", help=f"Tell what it is and costs there, {INPUT}"
        ),
    ] = None,
    out: Out = GENERATED,
    json: Json = False,
) -> Answer:
    """Tell what a field means and costs, or which fields made a line of a script."""
    from leangen.generator.explain.place import place_in, spec_of

    place = place_in(what)
    if place:
        from leangen.generator.explain.line import explain_line
        from leangen.generator.open import open_projects

        file = spec or spec_of(place)
        (project,) = open_projects([file], place.folder.parent)
        return explain_line(project, place, file)
    from leangen.generator.explain.field import explain_field
    from leangen.spec import load

    return explain_field(what, load(spec, out) if spec else None)


def _form(arguments: list[str]) -> str:
    """Find the form that was asked for, whether or not the rest of the call is right."""
    if "--json" in arguments:
        return JSON
    for form in (GITHUB, SARIF):
        asked = ("--output", form) in pairwise(arguments)
        if asked or f"--output={form}" in arguments:
            return form
    return TEXT


def main() -> None:
    """Run a verb, and turn whatever happens into text, or JSON, and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # odd paths meet narrow encodings
            stream.reconfigure(errors="backslashreplace")
    gc.set_threshold(YOUNG)
    if "_LEANGEN_COMPLETE" in os.environ:  # a shell waits for names to complete
        sys.modules["rich"] = None  # type: ignore[assignment]  # typer would load it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        result = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        if result == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        answer = result if isinstance(result, Answer) else Answer(exit_code=result or 0)
    except LeangenError as error:
        answer = Answer(exit_code=error.exit_code, diagnostics=error.diagnostics)
    except UsageError as error:
        answer = failure("usage", error.format_message(), WRONG)
    except (KeyboardInterrupt, typer.Abort):
        answer = failure("interrupted", "interrupted", INTERRUPTED)
    except OSError as error:
        answer = failure("io", str(error), IO_ERROR)
    except Exception:  # noqa: BLE001 - the last resort
        sys.excepthook(*sys.exc_info())  # as Python does, without importing traceback
        answer = failure("bug", "a bug of leangen: please report the lines above", BUG)
    exit_code = emit(answer, _form(sys.argv))
    gc.freeze()  # the process ends: nothing is worth a last search for garbage
    sys.exit(exit_code)
