"""Locks, and requirements with hashes: what pip takes, and nothing that it would ask for."""

import re
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.spec import load

Leangen = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "spec" / "examples").glob("*.yaml"))
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
PINS = (ROOT / "templates" / "requirements.txt").read_text()


def built_with_hashes(example: Path) -> dict[str, str]:
    spec = load(example, ROOT / "generated")
    return build(spec, plan(spec), hashes=True)


def listed(text: str) -> list[Requirement]:
    """Read a requirements file; each line is a comment, an option, a pin or a hash."""
    lines = [line for line in text.splitlines() if not line.startswith(("#", "-"))]
    pins = [line for line in lines if not HASH.fullmatch(line)]
    assert len(lines) > len(pins)
    assert all(pin.endswith(" \\") for pin in pins), "a pin without a hash"
    return [Requirement(pin.removesuffix("\\").strip()) for pin in pins]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_package_that_pip_would_ask_for_is_listed(example: Path) -> None:
    """pip refuses a package without a hash, whoever asks for it."""
    files = built_with_hashes(example)
    names = [name for name in files if re.fullmatch(r"requirements-.*\.txt", name)]
    for name in set(names) - {"requirements-torch.txt"}:
        pins = [
            pin
            for pin in listed(files[name])
            if not pin.marker or pin.marker.evaluate()
        ]
        versions = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
        for package in versions:
            for needed in needs(package):
                version = versions.get(canonicalize_name(needed.name))
                assert version, f"{name}: {package} needs {needed}"
                assert needed.specifier.contains(version), f"{package} needs {needed}"


def needs(package: str) -> list[Requirement]:
    """List what an installed package needs here; the tests' torch is the one for CPUs."""
    try:
        found = map(Requirement, requires(package) or [])
    except PackageNotFoundError:
        return []  # of another platform, or of CUDA
    return [n for n in found if not n.marker or n.marker.evaluate({"extra": ""})]


def test_hashes_change_no_version() -> None:
    spec = load(EXAMPLES[0])
    plain, hashed = (build(spec, plan(spec), hashes) for hashes in (False, True))
    for name in plain:
        if name.startswith("requirements-") and "torch" not in name:
            wanted = re.findall(r"(?m)^[a-z].*==.*$", plain[name])
            assert set(wanted) <= set(re.findall(r"(?m)^[a-z]\S*==\S*", hashed[name]))
        elif not name.startswith("requirements-") and name != "leangen.lock":
            assert plain[name] == hashed[name]


def test_cuda_is_listed_for_gpus_alone() -> None:
    cpu = built_with_hashes(ROOT / "spec/examples/demo.yaml")
    assert not re.search(r"(?m)^(nvidia|cuda|triton)", "".join(cpu.values()))
    alone = listed(cpu["requirements-torch.txt"])
    assert {str(pin.specifier) for pin in alone} == {"==2.13.0", "==2.13.0+cpu"}
    gpu = built_with_hashes(ROOT / "spec/examples/h200.yaml")
    assert "requirements-torch.txt" not in gpu
    assert "\nnvidia-cublas==" in gpu["requirements-train.txt"]


def test_a_folder_keeps_its_hashes(tmp_path: Path, leangen: Leangen) -> None:
    def state(*arguments: str) -> bool:
        assert leangen(*arguments, "spec.yaml", cwd=tmp_path).returncode == 0
        assert leangen("check", "spec.yaml", cwd=tmp_path).returncode == 0
        file = tmp_path / "generated" / "my-model" / "requirements-serve.txt"
        return "--hash=sha256:" in file.read_text()

    leangen("init", cwd=tmp_path)
    assert not state("build")
    assert state("build", "--hashes")
    assert state("build")
    assert not state("build", "--no-hashes")


@pytest.mark.parametrize("lock", ["requirements.lock", "templates/requirements.lock"])
def test_the_locks_have_the_pins_of_the_scripts(lock: str) -> None:
    """Else: make lock."""
    locked = {str(pin).partition(";")[0] for pin in listed(lock_text(lock))}
    pins = set(re.findall(r"(?m)^\w+==.*$", PINS))
    assert {pin for pin in pins - locked if not pin.startswith("torch==")} == set()
    (torch,) = (pin for pin in pins if pin.startswith("torch=="))
    assert f"{torch}+cpu ;" in (ROOT / "templates" / "torch-cpu.lock").read_text()


def lock_text(name: str) -> str:
    """Read a lock without its comments, which tell who needs what."""
    lines = (ROOT / name).read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
