"""What imports cost, stage by stage, and what stages are usually made of.

    python benchmarks/imports.py FOLDER PYLOCK     # writes spec/catalogue/import_costs.yaml

Makes the environments of all stages of the examples, and of the demo with other options
(as `leangen run --isolated` does), and in FOLDER one for each row of stacks.yaml that can be
installed; measures what is there, and the imports. PYLOCK is what uv resolved of the row
that cannot be:

    echo vllm==0.21.0 | uv pip compile - --format pylock.toml -o PYLOCK --only-binary :all: \\
        --python-platform x86_64-manylinux_2_28 --python-version 3.11
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from leangen.generator.audit.cost import key_of, probe
from leangen.generator.audit.imports import reached
from leangen.generator.audit.stages import scripts_of
from leangen.generator.environments.make import Python, python_of
from leangen.generator.open import open_projects
from leangen.generator.project import Project
from leangen.generator.run.jobs import environment_of
from leangen.spec.catalogue.rows import read_rows

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    ROOT / f"spec/examples/{name}.yaml" for name in ("demo", "bpe-8bit", "smollm2")
]
SECTIONS: tuple[dict[str, Any], ...] = (  # of the demo, in place of its own
    {"tokenizer": "bytes"},
    {"quantization": {"weights": 4, "method": "gptq"}},
    {"quantization": {"weights": 8, "kv_cache": 8}},
    {"evaluate": {"sensitivity": True}},
    {"export": {"formats": ["gguf"]}},
    {"export": {"formats": ["compressed-tensors"]}},
    {"sparsity": {"pattern": "2:4", "recover": {"scope": "layers"}}},
    {"sparsity": {"pattern": "2:4", "method": "sparsegpt"}},
    {"sparsity": {"pattern": "2:4", "method": "magnitude"}},
)
HEAD = """\
# What was measured of the versions that templates/requirements.lock and stacks.yaml pin, by
# `python benchmarks/imports.py`. packages: bytes of the installed files, without compiled modules. imports: seconds
# and resident bytes (Python's own included) after the modules of a stage, packages' alone, the fastest of five.
# stacks: the same of what stages are usually made of; wheels: bytes to download, compressed, of what was only resolved.
"""


def projects() -> Iterator[Project]:
    """Open the examples, and the demo with other sections."""
    examples = open_projects(EXAMPLES, ROOT / "generated")
    yield from examples
    demo = examples[0].spec.written
    for changes in SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "spec.yaml"
            page.write_text(json.dumps({**demo, **changes}))
            yield from open_projects([page], Path(folder) / "generated")


def of_stages() -> tuple[dict[str, int], dict[str, Any]]:
    """Measure all sets of packages' modules that stages import."""
    packages: dict[str, int] = {}
    imports: dict[str, Any] = {}
    for project in projects():
        for stage in scripts_of(project):
            modules = [m for _, m in reached(project.files, stage.script)]
            wanted = environment_of(project.files, stage.script)
            if key_of(modules) not in imports:
                statements = [f"import {module}" for module in modules]
                found = probe(python_of(wanted), [statements])
                packages |= found.packages
                seconds = round(found.cost.seconds or 0, 3)
                row = {"seconds": seconds, "memory": found.memory}
                imports[key_of(modules)] = row
                print(project.spec.name, stage.name, key_of(modules), row, flush=True)
    return packages, imports


def of_stacks(folder: Path, pylock: Path) -> dict[str, Any]:
    """Measure what stages are usually made of; of what is only resolved, its wheels."""
    found = {}
    for name, row in read_rows("stacks.yaml").items():
        found[name] = resolved(pylock) if "resolved" in row else installed(folder, row)
        print(name, found[name], flush=True)
    return found


def installed(folder: Path, row: Any) -> dict[str, Any]:
    """Install a row's packages where they are not, and measure its imports."""
    place = folder / row["stages"][0]
    if not place.exists():
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", place], check=True
        )
        pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
        options = ["install", "-q", "--no-compile"]
        subprocess.run([*pip, *options, *row["packages"]], check=True)
    python = Python(place / "bin" / "python", dict(os.environ))
    cost = probe(python, [row["imports"]]).cost
    return vars(cost) | {"seconds": round(cost.seconds or 0, 3)}


def resolved(pylock: Path) -> dict[str, int]:
    """Count the packages that uv resolved, and the bytes of the wheel that it would take."""
    packages = tomllib.loads(pylock.read_text())["packages"]
    wheels = 0
    for package in packages:
        binary = [w for w in package["wheels"] if "none-any" not in w["url"]]
        wheels += (binary or package["wheels"])[0]["size"]
    return {"packages": len(packages), "wheels": wheels}


def machine() -> str:
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    cores, python = os.cpu_count(), platform.python_version()
    return f"{cpu}, {cores} cores, Linux {platform.machine()}, Python {python}"


def main() -> None:
    folder, pylock = map(Path, sys.argv[1:])
    packages, imports = of_stages()
    found = {
        "machine": machine(),
        "packages": dict(sorted(packages.items())),
        "imports": dict(sorted(imports.items())),
        "stacks": of_stacks(folder, pylock),
    }
    text = yaml.safe_dump(found, sort_keys=False, width=1000)
    (ROOT / "spec/catalogue/import_costs.yaml").write_text(HEAD + text)


main()
