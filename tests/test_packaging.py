"""What pip installs works without the repository: templates and schema are in the wheel."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import Leangen

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def test_an_installed_wheel_builds_the_committed_scripts(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tracked = ["git", "checkout-index", "--all", f"--prefix={source}/"]
    subprocess.run(tracked, cwd=ROOT, check=True)
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    install = [*PIP, "install", *options, "--target", str(target), str(source)]
    subprocess.run(install, check=True)
    names = {path.name for path in (target / "leangen").iterdir()}
    assert {"cli.py", "generator", "spec", "templates"} <= names
    assert "tests" not in names
    flows = target / "leangen" / "templates" / "github"
    assert len(list(flows.glob("*.yml"))) == 2
    page = Path("generator", "report", "page")
    shipped, ours = (
        {f.name for f in (root / page).iterdir() if f.suffix != ".pyc"}
        for root in (target / "leangen", ROOT)
    )
    assert shipped - {"__pycache__"} == ours - {"__pycache__"}
    examples = tmp_path / "spec" / "examples"
    examples.mkdir(parents=True)
    shutil.copy(ROOT / "spec" / "examples" / "demo.yaml", examples)
    code = f"import sys; sys.path.insert(0, {str(target)!r});"
    code += "import leangen.cli; assert leangen.cli.__file__.startswith(sys.path[0]);"
    code += "leangen.cli.main()"
    for verb in (["build"], ["check"]):
        command = [
            sys.executable,
            "-c",
            code,
            *verb,
            "spec/examples/demo.yaml",
        ]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for file in (ROOT / "generated" / "demo").glob("*.py"):
        built = tmp_path / "generated" / "demo" / file.name
        assert built.read_bytes() == file.read_bytes()


def test_the_command_imports_nothing_heavy() -> None:
    code = "import sys, leangen.cli; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "onnx", "numpy", "jsonschema", "jinja2", "pydantic"}


def test_hooks_take_the_specs_of_a_commit(tmp_path: Path, leangen: Leangen) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (tmp_path / "specs").mkdir()
    leangen("init", "specs/a.yaml", cwd=tmp_path)
    results = {}
    for hook in sorted(hooks, key=lambda hook: hook["id"] != "leangen-build"):
        assert re.search(hook["files"], "specs/a.yaml")
        command, *verb = hook["entry"].split()
        assert command == "leangen"
        results[hook["id"]] = leangen(*verb, "specs/a.yaml", cwd=tmp_path).returncode
    assert results == {"leangen-build": 0, "leangen-check": 0}
    script = tmp_path / "generated" / "my-model" / "prune.py"
    script.write_text(script.read_text() + "\n")
    assert leangen("check", "specs/a.yaml", cwd=tmp_path).returncode == 1
