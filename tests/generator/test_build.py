"""What build writes, for any valid spec: scripts that read well, and depend on little."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leangen.generator.audit.imports import use_of
from leangen.generator.plan import plan
from leangen.generator.render.build import build
from leangen.generator.render.imports import imported_modules, unbound_names
from leangen.generator.stages import STAGES, stages_of
from leangen.spec import LeangenError, loads

Leangen = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "spec" / "examples").glob("*.yaml"))
Page = dict[str, Any]


def page(**changes: Any) -> Page:
    """A small valid spec; keys with two underscores change a field of a section."""
    made: Page = {
        "leangen": 1,
        "name": "example",
        "model": {
            "architecture": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
        "train": {"tokens": 100_000},
        "target": {"hardware": "x86-2core", "context": 64},
    }
    for path, value in changes.items():
        section, _, name = path.partition("__")
        if name:
            made.setdefault(section, {})[name] = value
        else:
            made[section] = value
    return made


def render(made: Page) -> dict[str, str]:
    spec = loads(yaml.safe_dump(made), "page.yaml")
    return build(spec, plan(spec))


def lint(folder: Path) -> None:
    """Hold every file against ruff, unused imports and layout included."""
    modules = [stage.name for stage in STAGES if not stage.runs]
    ours = f"lint.isort.known-first-party = {modules}"
    for verb in (["check", "--extend-select", "I"], ["format", "--diff"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *verb,
            "--isolated",
            "-q",
            "--config",
            ours,
        ]
        done = subprocess.run(
            [*command, "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_committed_scripts_are_what_their_spec_says(
    example: Path, leangen: Leangen
) -> None:
    done = leangen("check", example, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


OPTIONS: dict[str, list[Any]] = {
    "tokenizer": ["bytes", {"bpe": 512}],
    "data": [
        {},
        {"source": "python-docstrings"},
        {"source": "python-manual"},
        {"source": "text", "path": "a*"},
        {"out_of_sample": ["b", "c/*"]},
    ],
    "model__tie_word_embeddings": [False, True],
    "model__num_key_value_heads": [2, 4],
    "train__hardware": ["x86-2core", "h200"],
    "train__precision": ["float32", "bf16"],
    "sparsity": [
        {},
        {"pattern": "2:4", "method": "magnitude"},
        {"pattern": "4:8", "recover": {}},
        {"pattern": "4:8", "steps": 3, "exempt": ["k_proj"], "recover": {}},
        {"pattern": "unstructured", "ratio": 0.9, "steps": 4, "recover": {}},
        {"pattern": "2:4", "recover": {"rewind": 0.1, "distill": True}},
        {"pattern": "2:4", "method": "magnitude", "recover": {"scope": "layers"}},
        {"pattern": "unstructured", "ratio": 0.5, "recover": {"distill": True}},
        {"pattern": "unstructured", "ratio": 0.5, "method": "magnitude"},
        {"pattern": "2:4", "method": "sparsegpt", "exempt": ["k_proj"]},
        {"pattern": "unstructured", "ratio": 0.5, "method": "sparsegpt"},
    ],
    "quantization": [
        {"weights": 32},
        {"weights": 16, "kv_cache": 8},
        {},
        {"weights": 4},
        {"weights": 2},
        {"weights": 4, "exceptions": {8: ["down_proj", "0.v_proj"]}},
        {"kv_cache": 8},
        {"weights": 4, "method": "gptq"},
        {"weights": 8, "method": "gptq", "exceptions": {4: ["down_proj"]}},
    ],
    "evaluate__sensitivity": [False, True],
    "serve": [{}, {"host": "::1"}],
    "gates": [{}, {"perplexity_ratio": 1.5}],
}


def covering_choices() -> list[dict[str, Any]]:
    """Choose few combinations that hold every pair of options between them."""
    random = Random(0)
    numbers = {name: range(len(values)) for name, values in OPTIONS.items()}
    missing = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(OPTIONS, 2)
        for a, b in itertools.product(numbers[one], numbers[other])
    }
    chosen = []
    while missing:
        tries = [
            {name: random.choice(n) for name, n in numbers.items()} for _ in range(50)
        ]
        best = max(tries, key=lambda t: len(missing & _pairs(t)))
        missing -= _pairs(best)
        chosen.append({name: OPTIONS[name][i] for name, i in best.items()})
    return chosen


def _pairs(choice: dict[str, int]) -> set[Any]:
    return set(itertools.combinations(choice.items(), 2))


def test_every_pair_of_options_renders_to_clean_scripts(tmp_path: Path) -> None:
    codes: set[str] = set()
    for number, choice in enumerate(covering_choices()):
        made = page(**choice)
        if made["train"]["precision"] == "bf16":
            made["train"]["hardware"] = "h200"
        integers = made["quantization"].get("weights", 8) in (4, 8)
        if not integers and not made["sparsity"]:
            made["evaluate"]["sensitivity"] = False
        files = render(made)
        write(tmp_path / str(number), files)
        codes |= {text for name, text in files.items() if name.endswith(".py")}
    lint(tmp_path)
    active, total = use_of(codes)
    assert active == total  # what `leangen audit` says of them


TEXT = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=80
).filter(lambda text: text[0] != "~")  # which is refused


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """Any valid spec: sizes, numbers and strings of every kind."""
    heads = draw(st.sampled_from([1, 2, 4, 8]))
    options = {name: draw(st.sampled_from(values)) for name, values in OPTIONS.items()}
    sizes = {
        "model__num_attention_heads": heads,
        "model__num_key_value_heads": draw(st.sampled_from([1, heads])),
        "model__hidden_size": heads * draw(st.sampled_from([32, 64])),
        "model__intermediate_size": 32 * draw(st.integers(1, 40)),
        "model__num_hidden_layers": draw(st.integers(1, 100)),
        "model__rope_theta": draw(st.floats(1, 1e9)),
        "train__hardware": "h200",
        "train__tokens": draw(st.integers(10**6, 10**13)),
        "train__learning_rate": draw(st.floats(1e-9, 1)),
        "train__seed": draw(st.integers(0, 2**32 - 1)),
        "serve__port": draw(st.integers(1, 65535)),
    }
    made = page(**options | sizes)
    made["quantization"] = {"weights": 4, "group_size": draw(st.sampled_from([16, 32]))}
    made["data"] = {
        "source": "text",
        "path": draw(st.lists(TEXT, min_size=1, max_size=3)),
        "out_of_sample": draw(TEXT),
    }
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=pages())
def test_any_valid_spec_renders_to_clean_scripts(
    made: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any") / "example"
    files = render(made)
    write(folder, files)
    lint(folder)
    values: dict[str, Any] = {}
    start = files["data.py"].index("TEXT = ")
    exec(files["data.py"][start:].split("\nPROJECT")[0], values)  # noqa: S102
    assert values["TEXT"] == made["data"]["path"]


HOSTILE = [
    '"); import os; os.system("touch pwned") #',
    "{{ 7 * 7 }}",
    "#{% include 'x' %}",
    "\\",
    "'\"" * 20,
    "$(touch pwned)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_string_is_a_constant(text: str) -> None:
    values: dict[str, Any] = {}
    code = render(page(data={"source": "text", "path": text}))["data.py"]
    exec(code[code.index("TEXT = ") :].split("\nPROJECT")[0], values)  # noqa: S102
    assert values["TEXT"] == [text]


def test_a_string_of_several_lines_is_an_error() -> None:
    made = page(data={"source": "text", "path": '"""\nimport os\n"""'})
    with pytest.raises(LeangenError, match="may not stand in a value"):
        render(made)


def test_the_same_spec_gives_the_same_bytes_anywhere(
    tmp_path: Path, leangen: Leangen
) -> None:
    built = []
    for seed in ("0", "1", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        code = "from leangen.cli import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, "build", str(EXAMPLES[0])],
            cwd=folder,
            env=os.environ
            | {"PYTHONHASHSEED": seed, "LC_ALL": "C", "TZ": "Asia/Tokyo"},
            check=True,
            capture_output=True,
        )
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        built.append([(f.relative_to(folder), f.read_bytes()) for f in files])
    assert built[0] == built[1] == built[2]
    assert len(built[0]) > 10


FULL = {
    "model__num_key_value_heads": 2,
    "tokenizer": {"bpe": 512},
    "data": {"source": "text", "path": "a", "out_of_sample": "b"},
    "train": {"hardware": "h200", "precision": "bf16", "tokens": 10**6},
    "sparsity": {"pattern": "2:4", "recover": {"tokens": 10**6}},
    "quantization": {"weights": 8, "group_size": 32},
    "serve": {"port": 8000, "host": "127.0.0.1"},
    "gates": {"perplexity_ratio": 1.5},
}
EDITS = [
    ("model__hidden_size", 128, 1),
    ("model__num_hidden_layers", 3, 1),
    ("model__rope_theta", 5e5, 1),
    ("tokenizer", {"bpe": 600}, 1),
    ("data", {"source": "text", "path": "c", "out_of_sample": "b"}, 1),
    ("train__tokens", 2 * 10**6, 1),
    ("train__learning_rate", 1e-4, 1),
    ("train__seed", 7, 1),
    ("train__batch_size", 32, 2),
    ("sparsity__pattern", "4:8", 2),
    ("sparsity__recover", {"tokens": 2 * 10**6}, 1),
    ("quantization__weights", 4, 1),
    ("quantization__group_size", 64, 1),
    ("target__context", 32, 1),
    ("serve__port", 8001, 1),
    ("gates__perplexity_ratio", 1.2, 1),
]


@pytest.mark.parametrize(("path", "value", "lines"), EDITS, ids=lambda x: str(x))
def test_an_edit_of_one_field_touches_few_lines_of_few_stages(
    path: str, value: Any, lines: int
) -> None:
    before, after = render(page(**FULL)), render(page(**FULL | {path: value}))
    field = path.replace("__", ".")
    may_change = {
        stage.script
        for stage in STAGES
        if any(
            f"{field}.".startswith(f"{f}.") or f.startswith(f"{field}.")
            for f in stage.fields
        )
    }
    assert before.keys() == after.keys()
    for name, text in before.items():
        if name in ("leangen.lock", "plan.json") or text == after[name]:
            continue
        assert name in may_change
        pairs = zip(text.splitlines(), after[name].splitlines(), strict=True)
        assert sum(old != new for old, new in pairs) <= lines, name
    assert before["leangen.lock"] != after["leangen.lock"]


def test_stages_come_and_go_with_the_spec() -> None:
    dense = loads(yaml.safe_dump(page()), "page.yaml")
    assert [stage.name for stage in stages_of(dense) if stage.runs] == [
        "data",
        "train",
        "export",
        "evaluate",
        "serve",
    ]
    files = build(dense, plan(dense))
    assert "prune.py" not in files
    assert "requirements-prune.txt" not in files


def test_each_stage_needs_only_what_it_imports() -> None:
    files = render(page(tokenizer={"bpe": 512}, sparsity={"pattern": "2:4"}))
    needs = {
        name.removeprefix("requirements-").removesuffix(".txt"): {
            line.partition("==")[0] for line in text.splitlines() if "==" in line
        }
        for name, text in files.items()
        if name.startswith("requirements-")
    }
    assert needs == {
        "torch": {"torch"},  # its index, which serves nothing else
        "data": {"numpy", "tokenizers"},
        "train": {"numpy", "torch"},
        "prune": {"numpy", "torch"},
        "export": {"numpy", "onnx"},
        "evaluate": {"numpy", "onnxruntime", "tokenizers"},
        "serve": {"numpy", "onnxruntime", "tokenizers", "waitress"},
    }


def test_what_looks_like_the_end_of_a_part_of_a_module_hides_nothing() -> None:
    mark = '"""\n"""\n'
    for code in (
        f"'''A.\n{mark}'''\nimport torch\n\n\nX = foo\n",
        f"X = {mark}import torch\n\n\nX = foo\n",
        f"def f():\n    x = {mark}    import torch\n    return foo\n",
        f"X = {mark}\n\nY = (\n\n\n foo, {mark})\n\n\nimport torch\n",
    ):
        assert imported_modules(code) == {"torch"}
        assert unbound_names(code) == {"foo"}


def test_an_index_beside_pypi_is_asked_for_torch_alone() -> None:
    files = render(page(sparsity={"pattern": "2:4"}))
    for name, text in files.items():
        options = [line for line in text.splitlines() if line.startswith("--")]
        if name.startswith("requirements-") and options:
            (torch,) = (line for line in text.splitlines() if "==" in line)
            assert (name, len(options)) == ("requirements-torch.txt", 1)
            assert torch.startswith("torch==")
    assert "--index-url" in files["requirements-torch.txt"]
