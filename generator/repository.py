"""leangen init --github --pre-commit: what a repository needs so that leangen runs in it."""

import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from leangen.generator.disk import MISSING, OUTDATED, Change, write
from leangen.generator.pages import ENDINGS, page_in
from leangen.generator.report.answer import REFUSED, Answer
from leangen.spec import Diagnostic, LeangenError

WORKFLOWS = Path(".github", "workflows")
HOOKS = Path(".pre-commit-config.yaml")
SOURCE = re.compile(r"([A-Za-z0-9-]+/[A-Za-z0-9._-]+)@([A-Za-z0-9._/-]+)")
INSTALLED = re.compile(
    r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+?)(\.git)?/?"
)
HOOK = """\
- repo: https://github.com/{repository}
  rev: '{revision}'
  hooks:
    - id: leangen-build
      files: '{files}'
"""


def equip(source: str | None, *, github: bool, hooks: bool) -> Answer:
    """Write workflows, hooks or both, at the top of a repository: all of them or nothing.

    source: where leangen comes from, as OWNER/NAME@COMMIT; from where it was installed if
    None. Raises LeangenError where that is nowhere on GitHub.
    """
    if not os.path.lexists(".git"):
        raise LeangenError.of(
            "here is no top of a git repository", remedy="go there first", code="git"
        )
    repository, revision = _source(source)
    hook = HOOK.format(repository=repository, revision=revision, files=_specs())
    changes = [
        *(_workflows(f"{repository}@{revision}") if github else ()),
        *([_hooks(hook)] if hooks else ()),
    ]
    refused = [change.file for change in changes if change.new is None]
    if refused:
        lines = hook if HOOKS in refused else ""
        found = list(map(_refusal, refused))
        return Answer(lines, exit_code=REFUSED, diagnostics=found)
    new = [change for change in changes if change.old != change.new]
    write(new)
    told = "".join(f"wrote {change.file}\n" for change in new)
    return Answer(
        told or "all of it is there already\n",
        [{"file": str(change.file)} for change in new],
    )


def _source(named: str | None) -> tuple[str, str]:
    """Tell which repository on GitHub leangen comes from, and which commit of it."""
    found = SOURCE.fullmatch(named if named is not None else _installed())
    if not found:
        raise LeangenError.of(
            f"{named!r} is not OWNER/NAME@COMMIT"
            if named is not None
            else "leangen was not installed from GitHub: nobody else can find it here",
            remedy="name where it lies: --from OWNER/NAME@COMMIT",
            code="source",
        )
    return found[1], found[2]


def _installed() -> str:
    """Read where pip found leangen (PEP 610), '' where that is not on GitHub."""
    noted = json.loads(distribution("leangen").read_text("direct_url.json") or "{}")
    found = INSTALLED.fullmatch(noted.get("url", ""))
    commit = noted.get("vcs_info", {}).get("commit_id")
    return f"{found[1]}@{commit}" if found and commit else ""


def _workflows(source: str) -> Iterator[Change]:
    """Give the workflows; those that are there with another text have no new one."""
    folder = files("leangen").joinpath("templates", "github")
    for name in ("leangen.yml", "leangen-comment.yml"):
        file, page = WORKFLOWS / name, folder.joinpath(name).read_text("utf-8")
        old, new = _read(file), page.replace("OWNER/NAME@COMMIT", source)
        yield Change(file, MISSING, old, new if old in (None, new) else None)


def _hooks(hook: str) -> Change:
    """Give the configuration with a hook; one that it cannot be added to has no new text."""
    old = _read(HOOKS)
    new = f"repos:\n{_indented(hook, 2)}" if old is None else _extended(old, hook)
    return Change(HOOKS, OUTDATED, old, new)


def _specs() -> str:
    """Make the pattern of specs for YAML's quotes: of the folder specs, and what lies elsewhere."""
    found = {
        file.as_posix()
        for pattern in ("*", "*/*", "*/*/*")
        for file in Path().glob(pattern)
        if file.suffix in ENDINGS and file.is_file() and file.parts[0] != "specs"
    }
    pages = {name: page_in(Path(name).read_bytes()) for name in sorted(found)}
    here = [name for name, page in pages.items() if page and page.name]
    taken = [r"^specs/.*\.ya?ml$", *(f"^{re.escape(name)}$" for name in here)]
    return "|".join(taken).replace("'", "''")


def _extended(old: str, hook: str) -> str | None:
    """Add a hook behind those of a file; None where that would say anything else."""
    (ours,) = yaml.safe_load(hook)
    starts = re.findall(r"(?m)^( *)- *repo:", old)
    new = f"{old.rstrip()}\n{_indented(hook, len(starts[-1]) if starts else 2)}"
    before, after = _parsed(old), _parsed(new)
    repos = before.get("repos") if isinstance(before, dict) else None
    if not isinstance(repos, list):
        return None
    if ours in repos:
        return old
    told = any(map(_is_leangen, repos)) or after != before | {"repos": [*repos, ours]}
    return None if told else new


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _is_leangen(repo: Any) -> bool:
    """Whether hooks of leangen stand in an entry."""
    hooks = repo.get("hooks") if isinstance(repo, dict) else None
    return "leangen-" in json.dumps(hooks, default=str)


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines())


def _read(file: Path) -> str | None:
    """Read a file, None where there is none; what is no regular one is never ours."""
    if not os.path.lexists(file):
        return None
    if file.is_symlink() or not file.is_file():
        return ""
    return file.read_bytes().decode("utf-8", errors="surrogateescape")


def _refusal(file: Path) -> Diagnostic:
    by_hand = "add the lines above by hand"
    remedy = by_hand if file == HOOKS else "it differs: compare, or remove it"
    return Diagnostic("exists", "exists", file=str(file), suggestion=remedy)
