"""The page of a sweep: what it says, what it draws, and that nothing in a sweep is a script."""

import copy
import csv
import json
import math
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leangen.generator.report.page import write
from leangen.generator.report.page.axis import axis_of, figure
from leangen.generator.report.page.compare import (
    away,
    curves,
    difference,
    front,
    pairs,
)
from leangen.generator.report.page.figures import Row, Sweep, read
from leangen.generator.report.page.palette import DARK, LIGHT
from leangen.generator.report.page.run_figures import read_run
from leangen.generator.report.page.run_page import run_files
from leangen.generator.report.page.scatter import FILE, PERPLEXITY, View, front_of
from leangen.generator.report.page.sweep_page import files
from leangen.generator.report.page.table import as_csv
from leangen.generator.report.page.words import paragraphs
from tests.generator.synthetic_sweep import synthetic

HOSTILE = "</script><script>alert(1)</script><!--\"'&\x1b[2J\ud800"


def variant(name: str, size: int, perplexity: float, **about: Any) -> dict[str, Any]:
    """Make up a variant with a size and a perplexity on the test text alone."""
    found = {"pattern": "dense", "ratio": 0, "recovered": False, "bits": 16} | about
    measured = {"file_bytes": size, "perplexity": {"test": perplexity}}
    changes = {"name": name}
    rest = {"name": name, "slug": name, "state": "done", "seed": 0}
    return rest | {"is": found, "changes": changes, "measured": measured, "planned": {}}


def sweep_of(*variants: dict[str, Any]) -> Sweep:
    first, *others = copy.deepcopy(variants)
    rows = [first | {"baseline": True}, *others]
    return read({"name": "s", "axes": {"sparsity.pattern": []}, "variants": rows})


def beside(each: dict[str, Any], loss: float, error: float) -> dict[str, Any]:
    found = {"loss_difference": loss, "loss_difference_error": error}
    return each | {"measured": each["measured"] | {"beside_dense": {"test": found}}}


def told(sweep: Sweep, question: str) -> str:
    """Give what is said to a question; nothing where it is not asked."""
    found = [p for p in paragraphs(sweep) if p.question.startswith(question)]
    return " ".join(found[0].sentences) if found else ""


@pytest.fixture(scope="module")
def made() -> Sweep:
    return read(synthetic())


def test_the_front_holds_what_no_other_beats() -> None:
    sweep = sweep_of(
        variant("a", 100, 10),
        variant("b", 50, 12),
        variant("c", 60, 13),
        variant("d", 50, 11),
    )
    names = [row.name for row in front_of(sweep, View(FILE, PERPLEXITY))]
    assert names == ["d", "a"]


def test_the_front_of_the_synthetic_sweep_is_what_comparing_all_with_all_finds(
    made: Sweep,
) -> None:
    def beaten(row: Row, other: Row) -> bool:
        mine, its = (
            [r.value(f) or 0 for f in ("file_bytes", "perplexity_test")]
            for r in (row, other)
        )
        return mine != its and its[0] <= mine[0] and its[1] <= mine[1]

    expected = {r.name for r in made.done if not any(beaten(r, o) for o in made.done)}
    found = front(made.done, "file_bytes", "perplexity_test", False, False)
    assert {row.name for row in found} == expected


def test_pairs_are_dense_and_the_best_pruned_of_equal_bytes() -> None:
    sweep = sweep_of(
        variant("dense", 1000, 10),
        variant("dense 4", 300, 12, bits=4),
        variant("2:4 8", 310, 11, pattern="2:4", ratio=0.5, bits=8),
        variant("4:8 8", 312, 11.5, pattern="4:8", ratio=0.5, bits=8),
        variant("far", 330, 10.5, pattern="2:4", ratio=0.5, bits=8),
    )
    assert [(p.dense.name, p.pruned.name) for p in pairs(sweep)] == [
        ("dense 4", "2:4 8")
    ]
    assert "no error is known" in told(sweep, "At equal bytes")


@pytest.mark.parametrize(
    ("error", "words"),
    [(0.01, "beats"), (0.03, "not distinguishable")],
)
def test_a_difference_within_the_added_errors_is_not_distinguishable(
    error: float, words: str
) -> None:
    sweep = sweep_of(
        variant("dense", 1000, 10),
        beside(variant("dense 4", 300, 11, bits=4), 0.2, error),
        beside(
            variant("2:4 8", 300, 10.5, pattern="2:4", ratio=0.5, bits=8), 0.1, error
        ),
    )
    (pair,) = pairs(sweep)
    assert pair.difference.nats == pytest.approx(-0.1)
    assert pair.difference.margin == pytest.approx(2 * 1.96 * error)
    assert words in told(sweep, "At equal bytes")


def test_where_the_dense_model_itself_is_swept_nothing_is_said_of_errors() -> None:
    rows = [variant("dense", 1000, 10) | {"baseline": True}]
    rows.append(beside(variant("2:4", 1000, 11, pattern="2:4", ratio=0.5), 0.1, 0.001))
    sweep = read({"name": "s", "axes": {"train.tokens": []}, "variants": rows})
    (pair,) = pairs(sweep)
    assert pair.difference.margin is None
    assert "without an error" in told(sweep, "The dense model")


def test_without_a_dense_variant_at_full_bits_the_checkpoint_is_the_baseline() -> None:
    rows = [
        variant("8", 500, 10.1, bits=8),
        variant("2:4", 300, 11, pattern="2:4", ratio=0.5),
    ]
    dense = {
        "bytes": 4000,
        "perplexity": {"test": 10.0},
        "decode_tokens_per_second": 5.0,
    }
    sweep = read(
        {
            "name": "s",
            "variants": rows,
            "dense": dense,
            "gates": {"perplexity_ratio": 1.05},
        }
    )
    assert [row.name for row in sweep.rows] == ["dense, not rounded", "8", "2:4"]
    assert set(sweep.rows[0].figures) == {"perplexity_test"}  # nobody serves it
    assert "dense, not rounded: perplexity 10.0 on" in told(sweep, "The dense model")
    assert "1 of 2 variants have at most 1.05 times" in told(
        sweep, "What passes the gate"
    )
    assert "the smallest is 8 (0.5 KiB)" in told(sweep, "What passes the gate")


def test_a_question_without_variants_is_left_out() -> None:
    sweep = sweep_of(variant("dense", 1000, 10), variant("dense 4", 300, 12, bits=4))
    assert [p.question for p in paragraphs(sweep)] == ["The dense model"]


def ladder(*losses: float, recovered: bool = False) -> list[dict[str, Any]]:
    """Make up unstructured pruning at 50, 60, ... percent."""
    return [
        beside(
            variant(
                f"{ratio} {recovered}",
                1000,
                10 * math.exp(loss),
                pattern="unstructured",
                ratio=ratio,
                recovered=recovered,
            ),
            loss,
            0.01,
        )
        for ratio, loss in zip((0.5, 0.6, 0.7), losses, strict=True)
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ((0.1, 0.2, 0.9), "the knee moves"),
        ((0.1, 1.0, 2.0), "stays between the same ratios"),
        ((0.1, 0.69, 2.0), "cannot be told"),  # 0.69 is ln 2, give or take its margin
    ],
)
def test_the_knee_moves_only_where_it_surely_does(
    after: tuple[float, ...], words: str
) -> None:
    dense = beside(variant("dense", 1000, 10), 0.0, 0.0)
    sweep = sweep_of(dense, *ladder(0.3, 1.0, 2.0), *ladder(*after, recovered=True))
    assert "between 50\N{NO-BREAK SPACE}% and 60\N{NO-BREAK SPACE}%" in told(
        sweep, "Where does it collapse"
    )
    assert words in told(sweep, "Does recovery")


def test_collapse_is_measured_from_the_dense_model_of_the_same_bits() -> None:
    about = {"pattern": "unstructured", "bits": 4}
    sweep = sweep_of(
        variant("dense", 1000, 10),
        variant("dense 4", 300, 30, bits=4),
        variant("half", 300, 33, ratio=0.5, **about),
        variant("most", 300, 90, ratio=0.7, **about),
    )
    (curve,) = curves(sweep)
    assert [round(p[2].ratio, 3) for p in curve.points] == [1.1, 3.0]
    assert (curve.holds, curve.fails) == (0.5, 0.7)


def test_fragile_is_what_loses_more_away_than_at_home(made: Sweep) -> None:
    dense = made.baseline
    assert dense
    for row in made.done:
        there, here = (
            difference(made, row, dense, "out_of_sample"),
            difference(made, row, dense),
        )
        found = away(made, row)
        assert there and here and found
        assert found.nats == pytest.approx(there.nats - here.nats)
    assert "Out of sample dense has 1.70 times" in told(made, "Are pruned models")


def test_structured_speed_is_beside_dense_of_the_same_bits(made: Sweep) -> None:
    said = told(made, "Does structured")
    row = next(r for r in made.done if r.family == "structured" and r.bits == 4)
    dense = made.dense(4)
    assert dense
    ratio = (row.value("decode") or 0) / (dense.value("decode") or 1)
    assert f"{row.name}: decodes {figure(ratio)} times as fast" in said


@pytest.mark.parametrize(
    ("speeds", "words"),
    [
        ([11, 12, 13], "1.20 times as fast,"),
        ([9, 12, 13], "not distinguishable"),
        (None, "no range is known"),
    ],
)
def test_a_speed_is_better_only_where_the_ranges_are_apart(
    speeds: list[float] | None, words: str
) -> None:
    found = []
    for each, speed in (
        (variant("dense", 1000, 10), [9, 10, 10.5]),
        (variant("quarter", 800, 11, pattern="structured", ratio=0.25), speeds or [12]),
    ):
        known = (
            {"speeds": {"128": {"prefill": speed, "decode": speed}}}
            if speeds
            else {"decode_tokens_per_second": speed[-1]}
        )
        found.append(each | {"measured": each["measured"] | known})
    assert words in told(sweep_of(*found), "Does structured")


def test_repeats_are_one_row_with_their_mean_and_range() -> None:
    seeds = [
        variant("2:4", 300, p, pattern="2:4", ratio=0.5) | {"seed": i}
        for i, p in enumerate((12, 14, 13))
    ]
    sweep = sweep_of(variant("dense", 1000, 10), *seeds)
    _, row = sweep.rows
    found = row.figures["perplexity_test"]
    assert (row.runs, found.low, found.mean, found.high) == (3, 12, 13, 14)


def test_a_spread_of_repeats_widens_the_margin() -> None:
    each = variant("2:4", 300, 11, pattern="2:4", ratio=0.5)
    sweep = sweep_of(
        variant("dense", 300, 10),
        beside(each, 0.1, 0.01),
        beside(each, 0.3, 0.01) | {"seed": 1},
    )
    (pair,) = pairs(sweep)
    assert pair.difference.margin == pytest.approx(1.96 * 0.01 + 0.1)


def test_the_csv_has_every_variant_and_no_formula() -> None:
    document = synthetic()
    document["variants"][1]["name"] = '=HYPERLINK("x")'
    document["variants"][2]["name"] = "a,b\nc"
    rows = list(csv.DictReader(StringIO(as_csv(read(document)))))
    assert len(rows) == len(document["variants"])
    assert rows[1]["name"] == '\'=HYPERLINK("x")'
    assert rows[2]["name"] == "a,b c"
    assert {row["state"] for row in rows} == {"done", "failed", "refused"}
    for row, original in zip(rows, document["variants"], strict=True):
        measured = original.get("measured", {})
        if measured:
            assert int(float(row["file_bytes"])) == measured["file_bytes"]
            assert float(row["perplexity_test"]) == pytest.approx(
                measured["perplexity"]["test"]
            )


def test_the_files_of_a_sweep_are_small_and_whole(tmp_path: Path) -> None:
    written = {file.name: file for file in write(synthetic(), tmp_path / "new")}
    names = [
        "report.html",
        "report.csv",
        "report.json",
        "bytes.svg",
        "speed.svg",
        "collapse.svg",
        "home.svg",
    ]
    assert set(names) <= set(written)
    assert written["report.html"].stat().st_size < 250_000
    found = json.loads(written["report.json"].read_text())
    assert len(found["variants"]) == len(synthetic()["variants"])
    assert found["words"][0]["question"] == "The dense model"
    for name, file in written.items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(file.read_text())
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert "var(" not in file.read_text()


def test_pictures_are_png_where_the_extra_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    written = write(synthetic(), tmp_path)
    pictures = [file for file in written if file.suffix == ".png"]
    assert len(pictures) == len([file for file in written if file.suffix == ".svg"])
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)


def test_marks_stand_where_their_figures_say(made: Sweep) -> None:
    page = files(made)["bytes.svg"]
    places = {
        int(n): float(x)
        for x, n in re.findall(r'x="([\d.]+)" y="[\d.]+" data-v="(\d+)"', page)
    }
    assert len(places) == len(made.done)
    xs = [places[made.rows.index(row)] for row in made.done]
    logs = [math.log(row.value("file_bytes") or 1) for row in made.done]
    slope = (max(xs) - min(xs)) / (max(logs) - min(logs))
    for x, size in zip(xs, logs, strict=True):
        assert x == pytest.approx(min(xs) + slope * (size - min(logs)), abs=0.2)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_colour_of_text_and_marks_is_legible(theme: dict[str, str]) -> None:
    for name in (
        "ink",
        "soft",
        "link",
        "budget",
        "dense",
        "nm",
        "unstructured",
        "structured",
    ):
        for ground in ("paper", "card"):
            a, b = sorted((luminance(theme[name]), luminance(theme[ground])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (name, ground)


class Pieces(HTMLParser):
    """What a browser would make of a page: its elements, and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1] += data


def pieces(page: str) -> Pieces:
    found = Pieces()
    found.feed(page)
    found.close()
    return found


def safe(page: str) -> dict[str, Any]:
    """Check that a page has its own two scripts alone, and nothing that runs; give its data."""
    found = pieces(page)
    data, script = found.scripts
    own = Path(__file__).parents[2] / "generator" / "report" / "page" / "page.js"
    assert script == own.read_text()
    for tag, attributes in found.tags:
        assert tag not in ("img", "iframe", "object", "embed", "link", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    page.encode()
    loaded: dict[str, Any] = json.loads(data)
    return loaded


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    document = synthetic()
    document |= {"name": HOSTILE, "hardware": HOSTILE, "machine": {HOSTILE: HOSTILE}}
    for row in document["variants"]:
        row |= {"name": HOSTILE, "slug": HOSTILE, "why": HOSTILE}
        row["is"] |= {"method": HOSTILE}
    written = {
        file.name: file.read_text()
        for file in write(document, tmp_path)
        if file.suffix != ".png"
    }
    data = safe(written["report.html"])
    assert data["variants"][0]["name"].startswith("</script>")
    assert "\x1b" not in written["report.html"]
    for name, content in written.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)


texts = st.text(max_size=12) | st.just(HOSTILE)
figures = (
    st.none() | st.floats() | st.integers(-(10**30), 10**30) | st.floats(0.001, 1e6)
)
ranges = st.lists(st.floats(0, 1e4), max_size=3)
comparison = st.fixed_dictionaries(
    {},
    optional={
        name: figures
        for name in (
            "kl_divergence",
            "kl_divergence_99",
            "same_top",
            "loss_difference",
            "loss_difference_error",
        )
    }
    | {"same_top_interval": ranges},
)
by_text = st.dictionaries(
    st.sampled_from(["train", "test", "out_of_sample", "val"]), figures
)
measured_ = st.fixed_dictionaries(
    {},
    optional={
        name: figures
        for name in (
            "file_bytes",
            "memory_bytes",
            "windowed_perplexity",
            "first_token_seconds",
        )
        + ("prefill_tokens_per_second", "decode_tokens_per_second")
    }
    | {
        "perplexity": by_text,
        "beside_dense": st.dictionaries(
            st.sampled_from(["test", "out_of_sample"]), comparison
        ),
        "speeds": st.dictionaries(
            st.sampled_from(["128", "2048"]),
            st.fixed_dictionaries({"prefill": ranges, "decode": ranges}),
        ),
    },
)
kinds = st.fixed_dictionaries(
    {
        "pattern": st.sampled_from(
            ["dense", "2:4", "4:8", "unstructured", "structured"]
        ),
        "ratio": st.sampled_from([0, 0.3, 0.5, 0.8]),
        "recovered": st.booleans(),
        "bits": st.sampled_from([32, 16, 8, 4, 3]),
    },
    optional={"method": texts},
)
variants = st.fixed_dictionaries(
    {
        "name": texts,
        "slug": texts,
        "changes": st.dictionaries(texts, st.integers() | texts, max_size=2),
        "is": kinds,
        "seed": st.integers(0, 3),
        "baseline": st.booleans(),
        "state": st.sampled_from(
            ["done", "done", "done", "failed", "refused", "waiting"]
        ),
    },
    optional={
        "why": texts,
        "seconds": figures,
        "planned": st.fixed_dictionaries(
            {}, optional={"file_bytes": figures, "memory_bytes": figures}
        ),
        "measured": measured_,
    },
)
sweeps = st.fixed_dictionaries(
    {
        "format_version": st.just(1),
        "name": texts,
        "variants": st.lists(variants, max_size=8),
    },
    optional={
        "axes": st.dictionaries(
            st.sampled_from(["sparsity.pattern", "train.tokens"]), st.just([])
        ),
        "budget_bytes": figures,
        "context": st.integers(1, 10**6),
        "hardware": texts,
        "instrument": texts,
        "machine": st.dictionaries(texts, texts, max_size=2),
        "tokens": st.dictionaries(texts, st.integers(), max_size=2),
    },
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sweeps)
def test_any_sweep_of_the_contract_makes_a_page(document: dict[str, Any]) -> None:
    written = files(read(document))
    data = safe(written["report.html"])
    assert len(data["variants"]) == len(json.loads(written["report.json"])["variants"])
    for name, content in written.items():
        assert not re.search(r'<[^>]* (x|y|x\d|y\d|d|width)="[^"]*(nan|inf)', content)
        if name.endswith(".svg"):
            ElementTree.fromstring(content)


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=9), st.integers(2, 9))
def test_an_axis_holds_its_figures_and_has_no_more_ticks_than_asked_for(
    values: list[float], most: int
) -> None:
    axis = axis_of(values, 0, 100)
    assert all(-1e-6 <= axis.place(value) <= 100 + 1e-6 for value in values)
    ticks = axis.ticks(most)
    assert len(ticks) <= most + 1
    assert all(-1e-6 <= axis.place(tick) <= 100 + 1e-6 for tick in ticks)


def run_folder(folder: Path) -> Path:
    """Lay what a run leaves: figures are made up."""
    models = {
        name: {
            "bytes": size,
            "zeros": 0.0,
            "perplexity": {"test": perplexity, "out_of_sample": 2 * perplexity},
            "beside_dense": {
                "test": {"loss_difference": 0.01, "loss_difference_error": 0.01}
            },
        }
        for name, size, perplexity in (("dense", 100, 20.0), ("exported", 30, 20.2))
    }
    report = {
        "instrument": HOSTILE,
        "models": models,
        "gates": {"perplexity_ratio": {"limit": 1.005, "measured": 1.01}},
        "samples": {name: [{"prompt": HOSTILE, "text": "a\nb"}] for name in models},
    }
    ledger = {
        "train": {"planned_bytes": 2**20, "measured_bytes": 2**21, "seconds": 3.0}
    }
    rows = [
        {"step": step, "loss": 3 / step} | ({"val": 4 / step} if step % 5 == 0 else {})
        for step in range(1, 40)
    ]
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "ledger.json").write_text(json.dumps(ledger))
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def test_the_page_of_a_run_has_its_losses_memory_samples_and_gate(
    tmp_path: Path,
) -> None:
    written = run_files(read_run("r", run_folder(tmp_path)))
    safe(written["report.html"])
    assert {
        "report.html",
        "report.json",
        "loss-train.svg",
        "checkpoints.svg",
        "memory.svg",
    } == set(written)
    found = json.loads(written["report.json"])
    assert found["losses"]["train"]["val"][0] == [5, 0.8]
    words = " ".join(found["words"])
    assert "The gate is missed: 1.0100 times" in words
    assert "is not distinguishable from the dense one" in words
    assert "-50.0%" in written["report.html"]
