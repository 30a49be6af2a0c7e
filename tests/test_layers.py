"""Imports go one way: between the layers, and between the rooms of each."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "typer"}

# A room is a folder, or a module that stands beside the folders: what it imports of its own
# layer.
ROOMS: Mapping[str, Mapping[str, set[str]]] = {
    "generator": {
        "lock": set(),
        "stages": set(),
        "folder": set(),
        "disk": {"lock", "folder"},
        "plan": {"stages"},
        "render": {"lock", "stages", "plan"},
        "project": {"disk", "folder", "plan"},
        "report": {"disk", "paths", "plan", "project", "render"},
        "environments": {"disk", "render"},
        "audit": {"environments", "project", "render", "report", "run", "stages"},
        "run": {"disk", "environments", "folder", "paths", "project", "render"}
        | {"stages"},
        "sweep": {"disk", "environments", "folder", "open", "paths", "plan"}
        | {"project", "report", "run"},
        "paths": set(),
        "open": {"disk", "paths", "plan", "project", "render", "report"},
        "starter": {"disk", "plan", "render", "report"},
        "pages": set(),
        "eject": {"disk", "folder", "lock", "project", "report", "stages"},
        "repository": {"disk", "pages", "report"},
        "against": {"lock", "disk", "pages", "paths", "plan", "project", "render"}
        | {"report", "run", "open"},
        "explain": {
            "disk",
            "lock",
            "paths",
            "plan",
            "project",
            "render",
            "report",
            "stages",
        },
    },
    "spec": {
        "errors": set(),
        "text": {"errors"},
        "catalogue": {"errors", "text"},
        "structure": set(),
        "matrices": set(),
        "spec": {"catalogue", "structure", "text"},
        "check": {"errors", "text", "catalogue"},
        "defaults": {"errors", "catalogue", "spec"},
        "axes": {"errors", "text", "check"},
        "rules": {"errors", "text", "axes", "catalogue", "check", "defaults"}
        | {"matrices", "structure"},
        "weights": {"errors", "spec"},
        "parts": {"errors", "text", "check", "spec"},
        "load": {"errors", "text", "check", "spec", "defaults", "rules", "weights"}
        | {"parts"},
        "described": {"text", "catalogue", "check"},
        "explained": {"errors", "text", "check", "described"},
        "neighbours": {"text", "catalogue", "check", "spec", "load"},
        "listing": {"text", "catalogue", "described"},
        "reference": {"text", "catalogue", "check", "described", "explained"},
        "__init__": {"errors", "catalogue", "spec", "load"},
    },
}
FLOORS = {"generator": 6, "spec": 8}  # the longest chain of rooms


def imports(layer: str) -> list[tuple[Path, str]]:
    """List what each file imports, names that are modules included."""
    found = []
    for path in (ROOT / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.append((path, node.module or "."))
                found += [(path, f"{node.module}.{alias.name}") for alias in node.names]
            elif isinstance(node, ast.Import):
                found += [(path, alias.name) for alias in node.names]
    return found


@cache
def arrows(layer: str) -> dict[str, set[str]]:
    """Tell of each room of a layer which others it imports."""
    found: dict[str, set[str]] = {room: set() for room in rooms(layer)}
    for path, module in imports(layer):
        package, _, rest = module.partition(".")
        top, _, inner = rest.partition(".")
        room, other = room_of(path, layer), inner.partition(".")[0]
        if package == "leangen" and top == layer and other in found and other != room:
            found[room].add(other)
    return found


def rooms(layer: str) -> set[str]:
    return {room_of(path, layer) for path in (ROOT / layer).rglob("*.py")}


def room_of(path: Path, layer: str) -> str:
    return path.relative_to(ROOT / layer).with_suffix("").parts[0]


def floor(room: str, allowed: Mapping[str, set[str]], above: tuple[str, ...]) -> int:
    """Count the rooms of the longest chain that ends in a room."""
    assert room not in above, f"a circle: {' -> '.join([*above, room])}"
    below = [floor(other, allowed, (*above, room)) for other in allowed[room]]
    return 1 + max(below, default=0)


@pytest.mark.parametrize("layer", ROOMS)
def test_rooms_import_only_what_they_may(layer: str) -> None:
    allowed = ROOMS[layer]
    assert rooms(layer) - {"__init__"} == set(allowed) - {"__init__"}
    for room, imported in arrows(layer).items():
        assert imported <= allowed.get(room, set()), f"{layer}/{room}"


@pytest.mark.parametrize("layer", ROOMS)
def test_no_arrow_is_allowed_in_vain(layer: str) -> None:
    found = arrows(layer)
    for room, allowed in ROOMS[layer].items():
        assert allowed == found[room], f"{layer}/{room}"


@pytest.mark.parametrize("layer", ROOMS)
def test_rooms_stand_on_few_floors(layer: str) -> None:
    allowed = ROOMS[layer]
    assert max(floor(room, allowed, ()) for room in allowed) == FLOORS[layer]


MAY_IMPORT = {"spec": {"spec"}, "generator": {"generator", "spec"}}


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_no_upward_import(layer: str) -> None:
    for path, module in imports(layer):
        package, _, rest = module.partition(".")
        assert package != ".", f"{path}: a relative import"
        if package == "leangen" and rest:
            assert rest.split(".")[0] in MAY_IMPORT[layer], path


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_no_heavy_import(layer: str) -> None:
    for path, module in imports(layer):
        assert module.partition(".")[0] not in HEAVY, path


def test_what_is_an_extra_is_imported_where_it_is_asked_for_alone() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path, module in imports("generator")
        if module.partition(".")[0] == "ray" or module.endswith("sweep.cluster")
    }
    assert found == {"generator/sweep/cluster.py", "generator/sweep/answer.py"}


def test_the_plan_knows_nothing_of_texts_and_rendering_nothing_of_reports() -> None:
    found = arrows("generator")
    assert not found["plan"] & {"render", "report", "run", "project", "open"}
    assert not found["render"] & {"report", "run", "project", "open"}
