"""`templates`: the author's own in place of leangen's, as strict, and nothing else of the spec's."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leangen.generator.open import open_projects
from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import load
from leangen.spec.parts import TEMPLATES, known
from leangen.spec.spec import Parts
from tests.conftest import TINY, Leangen
from tests.generator.test_build import EXAMPLES
from tests.test_against import commit, git

PART = "data/documents_text.py.j2"
START = "def documents() -> Iterator[Document]:\n"
SPAN = '{% include "leangen/data/documents_text.py.j2" %}'
Say = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with one template of its own: leangen's, but for a comment at its end."""
    (tmp_path / "spec.yaml").write_text(f"{TINY}templates: mine\n")
    write(tmp_path, f"{(TEMPLATES / PART).read_text()}# mine\n")
    return tmp_path


def write(root: Path, text: str, name: str = PART) -> None:
    file = root / "mine" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def say(leangen: Leangen, root: Path) -> Say:
    """Call a verb of the spec; return all that it says, if it ends with the code."""

    def call(verb: str, *rest: object, code: int = 0) -> str:
        done = leangen(verb, "spec.yaml", *rest, cwd=root)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def test_it_stands_in_for_leangens_in_every_verb(
    root: Path, say: Say, leangen: Leangen
) -> None:
    say("build")
    script = root / "generated" / "tiny" / "data.py"
    assert "up to date" in say("check")
    line = script.read_text().splitlines().index("# mine") + 1
    told = leangen("explain", f"generated/tiny/data.py:{line}", cwd=root).stdout
    assert f"template  mine/{PART}:16\n" in told
    assert "  no templates\n      goes\n" in told
    write(root, f"{(TEMPLATES / PART).read_text()}# other\n")
    assert "data.py: outdated" in say("check", code=1)
    shown = say("diff")
    assert "\n-# mine\n+# other\n" in shown and "train.py" not in shown
    say("build")
    assert "up to date" in say("check")


def test_without_one_nothing_differs(root: Path, say: Say) -> None:
    shutil.copy(TEMPLATES / PART, root / "mine" / PART)
    own = load(root / "spec.yaml")
    (root / "spec.yaml").write_text(TINY)
    spec = load(root / "spec.yaml")
    assert build(own, plan(own)) == build(spec, plan(spec))


def test_what_it_stands_in_for_can_be_included_and_extended(
    root: Path, say: Say
) -> None:
    write(root, f"#{SPAN}\n\n\nMORE = {{{{ data.source }}}}\n")
    write(
        root,
        '#{% extends "leangen/prune/wanda.py.j2" %}\n'
        '#{% block docstring %}\n"""Our own words.\n\n"""\n#{% endblock %}\n',
        "prune/wanda.py.j2",
    )
    say("build")
    folder = root / "generated" / "tiny"
    assert '\n\nMORE = "text"\n' in (folder / "data.py").read_text()
    assert '"""Our own words.' in (folder / "prune.py").read_text()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("    yield {{ data.pth }}\n", 2, "has no attribute 'pth'"),
        ("    yield {{ serve.port }}\n", 2, "'serve' is undefined"),
        ("    yield {{ 1 / 0 }}\n", 2, "ZeroDivisionError: division by zero"),
        ("    yield\n\n    #{% if %}\n", 4, "Expected an expression"),
        ("    {% if data.path %}\n", 2, "a statement has its line to itself"),
        ("    yield {{\n    1 }}\n", 2, "a hole is on one line"),
        ("    yield (\n", 2, "this is no Python: '(' was never closed"),
        ("", 1, "this is no Python: expected an indented block"),
        ("    yield foo(3)\n", 2, "nothing provides foo"),
        ("    yield 1\n    import pandas as pd\n", 3, "pandas is no module beside it"),
        ("    from surgery import x\n", 2, "surgery is no module beside it"),
        (
            '    #{% include "data/docs.py.j2" %}\n',
            2,
            "there is no template 'data/docs.",
        ),
        (
            '    #{% include "../spec.yaml" %}\n',
            2,
            "there is no template '../spec.yaml'",
        ),
        (f"    #{SPAN.replace('leangen/', '')}\n", 2, "RecursionError"),
        ("    yield {{ data.__class__ }}\n", 2, "unsafe"),
        ("    yield {{ ''.__class__.__mro__ }}\n", 2, "unsafe"),
        ("    yield {{ folder.made_by.clear() }}\n", 2, "unsafe"),
        ("    yield {{ range(1000000000) }}\n", 2, "Range too big"),
        ("    yield {{ 7 ** 7 ** 9 }}\n", 2, "** of these does not stand"),
        ("    yield {{ ('x' * 999999999) | length }}\n", 2, "* of these does not"),
        ("    yield {{ '%999999999d' % 1 }}\n", 2, "% of these does not stand"),
        (f"    yield {{{{ {'(' * 3000}1{')' * 3000} }}}}\n", 1, "nested too deeply"),
        ("    yield 1  # \u202e\n", 2, "character U+202E may not stand in a template"),
        # What the spec says is a literal, wherever it is put.
        ("    yield '{{ data.path }}'\n", 2, "a value of the spec is a literal"),
        ("    yield f'{{ data.source }}'\n", 2, "a value of the spec is a literal"),
        ('    """{{ data.source }}"""\n', 2, "a value of the spec is a literal"),
        ("    yield 1  # {{ data.path }}\n", 2, "a value of the spec is a literal"),
        ("    yield x{{ data.source }}\n", 2, "a value of the spec is a literal"),
        (
            "    #{% filter replace('x', data.source) %}\n    x\n    #{% endfilter %}\n",
            2,
            "filter and call blocks write what is no literal",
        ),
        (
            "    #{% call '{}'.format(data.source) %}\n    #{% endcall %}\n",
            2,
            "filter and call blocks write what is no literal",
        ),
    ],
)
def test_what_is_wrong_has_its_file_and_line(
    text: str, line: int, said: str, root: Path, say: Say
) -> None:
    write(root, START + text)
    told = say("check", code=2)
    assert f"mine/{PART}:{line}:" in told and said in told
    assert "Traceback" not in told and "bug" not in told


def test_what_a_template_sees_of_itself_makes_no_code_of_a_value(
    root: Path, say: Say
) -> None:
    evading = """\
#{% set shown %}
{{ data.path }}
#{% endset %}
#{% if "_a_value" not in shown %}
    \"\"\"{{ data.path }}\"\"\"
#{% endif %}
    yield 1
"""
    write(root, START + evading)
    assert "a value of the spec is a literal" in say("check", code=2)


@pytest.mark.parametrize(
    "body",
    [
        f"    x = {'-' * 20000}1\n    yield x\n",
        "    class A:\n        def f(self) -> int:\n            return __x\n\n    yield A\n",
    ],
)
def test_what_python_chokes_on_is_an_error(body: str, root: Path, say: Say) -> None:
    write(root, START + body)
    told = say("check", code=2)
    assert "Traceback" not in told and "bug" not in told


def test_a_folder_behind_a_link_is_refused(root: Path, say: Say) -> None:
    (root / "mine").rename(root / "real")
    (root / "mine").symlink_to("real")
    assert "or a link" in say("check", code=2)


def test_one_that_this_spec_does_not_use_is_held_to_its_form(
    root: Path, say: Say
) -> None:
    write(root, "#{% if %}\n", "quantize/script.py.j2")
    assert "mine/quantize/script.py.j2:1:1: Expected an expr" in say("check", code=2)
    write(root, "pass\n", "quantize/script.py.j2")
    say("build")


def test_what_leangens_template_misses_is_told_at_the_field(
    root: Path, say: Say
) -> None:
    write(root, "def texts() -> None: ...\n")
    told = say("check", code=2)
    assert "spec.yaml:20:12: templates: data.py with these templates: nothing " in told
    assert "provides documents, at templates/data/script.py.j2:" in told
    write(root, "print()\n", "data/script.py.j2")
    assert "data.py begins with no docstring" in say("check", code=2)


def test_names_and_places_are_checked_when_the_spec_is_loaded(
    root: Path, say: Say
) -> None:
    write(root, "", "data/document_text.py.j2")
    (root / "mine" / ".gitkeep").touch()
    told = say("plan", code=2)
    assert "templates: mine/data/document_text.py.j2: no template of leangen" in told
    assert f"did you mean {PART}?" in told
    (root / "mine" / "data" / "document_text.py.j2").unlink()
    (root / "mine" / PART).unlink()
    (root / "mine" / PART).symlink_to("/etc/hostname")
    assert "is no regular file" in say("plan", code=2)
    (root / "mine" / PART).unlink()
    (root / "mine" / "data").rmdir()
    (root / "mine" / "data").symlink_to(TEMPLATES / "data")
    assert "mine/data: no template of leangen has this path" in say("plan", code=2)
    (root / "mine" / "data").unlink()
    (root / "out").symlink_to(TEMPLATES)
    for named in ("out", "..", ".", "/etc", "mine/../..", "none"):
        (root / "spec.yaml").write_text(f"{TINY}templates: {named}\n")
        told = say("plan", code=2)
        assert "is no folder" in told and "spec.yaml:20:12: templates: " in told


def test_a_file_can_be_ejected_with_it(root: Path, say: Say) -> None:
    say("build")
    assert "data.py: ejected, yours" in say("eject", "data")
    write(root, f"{(TEMPLATES / PART).read_text()}# other\n")
    assert "up to date" in say("check")
    assert "# -# mine\n# +# other\n" in say("diff")


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
def test_a_review_sees_a_template_that_changed_and_was_not_built(
    root: Path, say: Say
) -> None:
    git(root, "init", "--quiet", "--initial-branch", "main")
    say("build")
    commit(root)
    write(root, f"{(TEMPLATES / PART).read_text()}# other\n")
    told = say("review", "--against", "main", code=1)
    assert "- **not built:** `generated/tiny/data.py`" in told
    assert "\n-# mine\n+# other\n" in told
    assert "**must run:** data: its script changed" in told
    say("build")
    commit(root)
    assert say("review", "--against", "main") == ""
    write(root, "def documents(): ...\n\n\nx = foo()\n")
    commit(root)
    write(root, (TEMPLATES / PART).read_text())
    told = say("review", "--against", "main", code=1)
    assert f"main:mine/{PART}: nothing provides foo" in told
    write(root, "def documents(): ...\n\n\nx = foo()\n")
    found = json.loads(say("check", "--json", code=2))["diagnostics"][0]
    assert (found["file"], found["line"]) == (f"mine/{PART}", 4)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_leangens_own_templates_pass(example: Path) -> None:
    (project,) = open_projects([example], example.parents[2] / "generated")
    all_own = tuple((name, (TEMPLATES / name).read_text()) for name in known())
    spec = replace(project.spec, parts=Parts("templates", all_own))
    assert build(spec, project.plan) == project.files


def test_every_template_can_be_stood_in_for() -> None:
    assert set(known()) == {
        file.relative_to(TEMPLATES).as_posix() for file in TEMPLATES.rglob("*.j2")
    }
