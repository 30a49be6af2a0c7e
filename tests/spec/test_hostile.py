"""Whatever a file holds, the answer is a Spec or a LeangenError that points into it."""

import time
from itertools import pairwise

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leangen.spec import LeangenError, Spec, as_json, loads
from leangen.spec.check.schema import SCHEMA_FILE

DEMO = (SCHEMA_FILE.parent / "examples" / "demo.yaml").read_text(encoding="utf-8")
NAMED = """\
leangen: 1
name: named
model:
  preset: stories15M
  num_hidden_layers: 2
data:
  source: jsonl
  path: corpus/*.jsonl
  field: body
train:
  tokens: 1M
  hardware: custom
  beta2: 0.99
quantization:
  kv_cache: 32
  exceptions:
    4:
      - 0
      - 1.v_proj
target:
  hardware: x86-2core
  vram_budget: 3GiB
  context: 64
serve:
  host: localhost
  engine: onnxruntime
custom_hardware:
  kind: cuda
  memory: 24GiB
  bandwidth_gb_s: 900
  float32_tflops: 30
"""
PIECES = [
    "-",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "&",
    "*",
    "!",
    "|",
    ">",
    "'",
    '"',
    "%",
    "@",
    "`",
    "#",
    "?",
    "<<",
    "~",
    "&",
    "&a",
    "*a",
    "!!str",
    "---",
    "...",
    "null",
    "true",
    "no",
    ".inf",
    ".nan",
    "1e999",
    "0x1F",
    "2:4",
    "-1",
    "0",
    "1e-3",
    "99999999999999999999",
    "16GiB",
    "1k",
    "[]",
    "{}",
    "é",
    "日本",
    "\\u202e",
    "name",
    "model",
    "target",
    "sparsity",
    "quantization",
    "group_size",
    "tokens",
]
PIECES += ["\t", "\n", "\n\n", "  ", " ", "\0", "\x1b", "\u2028", "\ufeff", "9" * 5000]

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def outcome(content: str | bytes) -> Spec | LeangenError:
    """Load, and check every diagnostic against the file."""
    try:
        return loads(content, "spec.yaml")
    except LeangenError as error:
        text = (
            content if isinstance(content, str) else content.decode("utf-8", "replace")
        )
        check(error, text.removeprefix("\ufeff"))
        return error


def check(error: LeangenError, text: str) -> None:
    # libyaml ends a line at these three too
    lines = text.replace("\r\n", "\n")
    for end in "\r\x85\u2028\u2029":
        lines = lines.replace(end, "\n")
    assert str(error)
    for found in error.diagnostics:
        assert found.message
        assert set(as_json(found)) >= {"line", "column", "path"}
        if found.line:
            line = lines.split("\n")[found.line - 1]
            assert 1 <= found.column <= len(line) + 1


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Cut pieces out of a good spec and put others in."""
    text = draw(st.sampled_from([DEMO, NAMED]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = start + draw(st.integers(0, 12))
        piece = draw(st.sampled_from(PIECES) | st.text(max_size=4))
        text = text[:start] + piece + text[stop:]
    return text


@st.composite
def misplaced(draw: st.DrawFn) -> str:
    """Shuffle, repeat and drop whole lines of the demo spec."""
    lines = DEMO.splitlines()
    return "\n".join(draw(st.lists(st.sampled_from(lines), max_size=60)))


@quick
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_or_bytes(content: str | bytes) -> None:
    outcome(content)


@quick
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
def test_any_pieces_of_yaml(content: str) -> None:
    outcome(content)


@quick
@given(mutated())
def test_mutations_of_a_good_spec(content: str) -> None:
    outcome(content)


@quick
@given(misplaced())
def test_lines_of_a_good_spec_anywhere(content: str) -> None:
    outcome(content)


VALUES = [
    *(
        "",
        "~",
        '""',
        "[]",
        "{}",
        "[1]",
        "[~]",
        "[[]]",
        "[{a: b}]",
        "{a: 1}",
        "{bpe: ~}",
    ),
    *("-1", "0", "1.5", "1e400", "1e30", "-1e30", "1e30k", ".nan", "0x10", "9" * 70),
    *(
        "true",
        "yes",
        "2:4",
        "16:16",
        "x" * 500,
        "!!str 1",
        "&a b",
        "*a",
        '"\\n"',
        "日本",
    ),
    *(
        "dense",
        "unstructured",
        "text",
        "bf16",
        "h200",
        "1T",
        "'1'",
        "| \n  x",
        "{{}: 1}",
    ),
]


def test_the_specs_that_are_mutated_are_good() -> None:
    assert isinstance(outcome(DEMO), Spec)
    assert isinstance(outcome(NAMED), Spec)


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page in (DEMO, NAMED) for line in range(page.count("\n"))],
    ids=lambda value: str(value)[-12:].strip(),
)
def test_any_value_of_any_field(page: str, line: int) -> None:
    lines = page.splitlines()
    name = lines[line].partition(":")[0]
    for value in VALUES:
        found = outcome(
            "\n".join([*lines[:line], f"{name}: {value}", *lines[line + 1 :]])
        )
        for word in ("None", "{'", "is not valid", "is not of type"):
            assert word not in str(found) or isinstance(found, Spec)


@settings(quick, max_examples=25)
@given(mutated())
def test_without_libyaml(content: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        outcome(content)


NAMES = "abcdefghijklmnop"
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 8)}]\n"
    for below, name in pairwise(NAMES)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        "a: &a [*a]\n",
        "&a a: *a\n",
        "a: &a {b: &b {c: *a}}\n",
        "[" * 10_000,
        "{a: " * 10_000,
        "- " * 100_000,
        "".join(" " * depth + "a:\n" for depth in range(1000)),
        "? " * 10_000,
        "a: " + "9" * 1_000_000,
        "a: " + "x" * 1_000_000,
        "x" * 1_000_000 + ": a",
        "".join(f"a{number}: 1\n" for number in range(90_000)),
        "- a\n" * 250_000,
        "#" * 1_000_000,
        "\n" * 1_000_000,
        "name: " + '"' * 1_000_000,
        "%TAG ! tag:example.com,2026:\n---\na: !b c\n",
        "!!python/object/apply:os.system [echo]",
        *(f"{{{one * 900}b: {'x' * 900_000}}}" for one in ("a: !t 1,", "a: '\\t', ")),
        f"data: {{path: [{'[], ' * 1_800}]}} # {'x' * 900_000}",
        f"{{{', '.join(f'a{number}: 1' for number in range(900))}}} # {'x' * 900_000}",
    ],
    ids=lambda content: content[:12],
)
def test_bombs_are_refused_in_a_moment(content: str) -> None:
    start = time.process_time()  # of this process alone, however busy the machine is
    assert isinstance(outcome(content), LeangenError)
    assert time.process_time() - start < 5


def test_thousands_of_findings_are_a_list_that_ends() -> None:
    found = outcome("".join(f"a{number}: 1\n" for number in range(900)))
    assert isinstance(found, LeangenError)
    *listed, last = found.diagnostics
    assert len(listed) == 50
    # 900 fields that there are not, and 4 that are missing
    assert str(last) and last.message == "854 more findings are not listed"
    tags = outcome("".join(f"a{number}: !t 1\n" for number in range(900)) + "'")
    assert isinstance(tags, LeangenError)
    assert [one.code for one in tags.diagnostics[-2:]] == ["too-many", "syntax"]


def test_a_name_as_long_as_the_file_is_not_repeated() -> None:
    found = outcome("x" * 1_000_000 + ": 1")
    assert len(str(found)) < 4_000


def test_deep_aliases_are_as_deep_as_what_they_repeat() -> None:
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))
    found = outcome(deep)
    assert isinstance(found, LeangenError)
    assert "levels deep" in str(found)


@pytest.mark.parametrize("parser", ["libyaml", "pure Python"])
@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("[" * 10_000, (1, 18)),
        ("é: " + "[" * 1_200, (1, 20)),
        ("a: 1\r\nb: " + "[" * 1_001 + "]" * 1_001, (2, 20)),
        ("{a: " * 10_000, (1, 66)),
        ("- " * 10_000, (1, 35)),
        ("".join(" " * depth + "a:\n" for depth in range(1_100)), (17, 17)),
    ],
    ids=lambda value: str(value)[:12],
)
def test_depth_is_our_error_whatever_the_parser_says(
    content: str, place: tuple[int, int], parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parser == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    found = outcome(content)
    assert isinstance(found, LeangenError)
    (deep,) = found.diagnostics
    assert (deep.code, deep.message) == ("too-deep", "more than 16 levels deep")
    assert (deep.line, deep.column) == place
