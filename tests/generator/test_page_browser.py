"""The page of a sweep in headless Chromium, where there is one with Playwright to drive it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leangen.generator.report.page.figures import read
from leangen.generator.report.page.run_figures import read_run
from leangen.generator.report.page.run_page import run_files
from leangen.generator.report.page.sweep_page import files
from tests.generator.synthetic_sweep import synthetic
from tests.generator.test_page import HOSTILE, run_folder

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium")
SHOWN = "#front figure:not([hidden]) > svg"
DESKTOP, PHONE = (1000, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return laid(folder, synthetic())


def laid(folder: Path, document: dict[str, Any]) -> Path:
    """Write a report without its pictures."""
    for name, content in files(read(document)).items():
        if name.startswith("report."):
            (folder / name).write_text(content)
    return folder


class Opened:
    """A page in a window of its own, and what it complained of."""

    def __init__(self, browser: Any, file: Path, size: tuple[int, int]) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.page = browser.new_page(
            viewport=viewport, color_scheme="light", reduced_motion="reduce"
        )
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()
        assert not self.errors
        assert len(self.asked) == 1  # the page itself


def marks(page: Any) -> dict[int, tuple[float, float]]:
    """Give the places of the marks in the chart that is seen, by the numbers of their rows."""
    script = """(svgs) => svgs.filter((svg) => svg.checkVisibility()).flatMap((svg) =>
        [...svg.querySelectorAll("use[data-v]")].map((mark) =>
            [mark.dataset.v, mark.getAttribute("x"), mark.getAttribute("y")].map(Number)))"""
    return {int(n): (x, y) for n, x, y in page.locator(SHOWN).evaluate_all(script)}


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_opens_without_errors_and_fits_in_both_themes(
    browser: Any, report: Path, size: tuple[int, int]
) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with Opened(browser, report / "report.html", size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        seen = page.locator(
            "figure > svg:visible, .legend span:visible, fieldset:visible"
        )
        boxes = seen.evaluate_all(
            "(all) => all.map((one) => one.getBoundingClientRect().toJSON())"
        )
        assert all(box["left"] >= 0 and box["right"] <= size[0] for box in boxes)
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) == "rgb(20, 23, 27)"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_no_text_of_a_chart_is_cut(
    browser: Any, report: Path, size: tuple[int, int]
) -> None:
    cut = """(svgs) => svgs.filter((svg) => svg.checkVisibility()).flatMap((svg) =>
        [...svg.querySelectorAll("text")].filter((text) => {
            const box = text.getBoundingClientRect(), all = svg.getBoundingClientRect();
            return box.left < all.left - 1 || box.right > all.right + 1 || box.top < all.top - 1;
        }).map((text) => text.textContent))"""
    with Opened(browser, report / "report.html", size) as page:
        for axes in page.locator("input[name=axes]").evaluate_all(
            "(all) => all.map((one) => one.value)"
        ):
            page.locator(f'input[name=axes][value="{axes}"] + span').click()
            assert page.locator("figure > svg").evaluate_all(cut) == []


def test_its_points_are_those_of_the_json_on_any_axes(
    browser: Any, report: Path
) -> None:
    rows = json.loads((report / "report.json").read_text())["variants"]
    with Opened(browser, report / "report.html", DESKTOP) as page:
        for axes in ("file_bytes", "memory_bytes", "decode"):
            page.locator(f'input[name=axes][value="{axes}"] + span').click()
            for quality in ("perplexity_test", "kl_divergence_test", "same_top"):
                page.locator(f'input[name=quality][value="{quality}"] + span').click()
                places = marks(page)
                known = [
                    n
                    for n, row in enumerate(rows)
                    if {axes, quality} <= set(row["figures"])
                ]
                assert sorted(places) == known and len(known) == 48
                by_figure = sorted(known, key=lambda n: rows[n]["figures"][axes][1])
                across = [places[n][0] for n in by_figure]
                assert across == sorted(across)
                up = [
                    places[n][1]
                    for n in sorted(known, key=lambda n: rows[n]["figures"][quality][1])
                ]
                assert up == sorted(up, reverse=True)


def test_speed_by_size_has_no_quality_to_choose(browser: Any, report: Path) -> None:
    with Opened(browser, report / "report.html", DESKTOP) as page:
        page.get_by_text("speed by file size", exact=True).click()
        assert page.locator("#qualities input:disabled").count() == 3
        assert (
            page.locator(SHOWN)
            .first.get_attribute("aria-label")
            .startswith("decoded tokens")
        )


def test_every_mark_has_a_label_and_the_keyboard_goes_from_one_to_the_next(
    browser: Any, report: Path
) -> None:
    with Opened(browser, report / "report.html", DESKTOP) as page:
        labelled = page.locator("use[data-v]").evaluate_all(
            "(all) => all.every((mark) => mark.getAttribute('aria-label') && mark.getAttribute('role') === 'img')"
        )
        assert labelled
        assert page.get_by_role("img", name="dense, 4 bits: file 167.7 MiB").count() > 0
        page.locator(f"{SHOWN}:visible use[tabindex='0']").first.focus()
        page.keyboard.press("Home")
        first = page.locator("#tip h2").inner_text()
        page.keyboard.press("ArrowRight")
        assert page.locator("#tip h2").inner_text() != first
        assert page.locator("#front figure:not([hidden]) .wide .ring").count() == 1
        assert page.locator("tr.on").count() == 1
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_pointing_at_a_mark_tells_all_its_figures_beside_it(
    browser: Any, report: Path, size: tuple[int, int]
) -> None:
    with Opened(browser, report / "report.html", size) as page:
        mark = page.locator(f"{SHOWN}:visible use[data-v='2']")
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.locator("#tip h2").inner_text() == "dense, 4 bits"
        tip = page.locator("#tip").bounding_box()
        assert tip["x"] >= 0 and tip["x"] + tip["width"] <= size[0]
        apart = tip["x"] > box["x"] + box["width"] or tip["x"] + tip["width"] < box["x"]
        assert (
            apart
            or tip["y"] > box["y"] + box["height"]
            or tip["y"] + tip["height"] < box["y"]
        )


def test_the_table_sorts_by_figures_and_what_has_none_comes_last(
    browser: Any, report: Path
) -> None:
    rows = json.loads((report / "report.json").read_text())["variants"]
    known = [row for row in rows if "perplexity_test" in row["figures"]]
    best = min(known, key=lambda row: row["figures"]["perplexity_test"][1])
    with Opened(browser, report / "report.html", DESKTOP) as page:
        head = page.locator("th[data-k=perplexity_test]")
        for direction in ("ascending", "descending"):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            names = page.locator("#all tbody th").all_inner_texts()
            assert (
                names[0 if direction == "ascending" else len(known) - 1] == best["name"]
            )
            states = page.locator("#all tbody td:nth-child(2)").all_inner_texts()
            assert all(state.startswith(("failed", "refused")) for state in states[-4:])
        assert "the loss is not finite" in page.locator("#all").inner_text()


def test_names_that_are_scripts_do_nothing(browser: Any, tmp_path: Path) -> None:
    document = synthetic()
    for row in document["variants"]:
        row["name"] = HOSTILE
    laid(tmp_path, document | {"name": HOSTILE})
    with Opened(browser, tmp_path / "report.html", PHONE) as page:
        assert "<script>alert(1)" in page.locator("h1").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert page.locator("script").count() == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_of_a_run_opens_without_errors_and_fits(
    browser: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    page_of_run = tmp_path / "report.html"
    page_of_run.write_text(
        run_files(read_run("r", run_folder(tmp_path)))["report.html"]
    )
    with Opened(browser, page_of_run, size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.locator("figure:visible").count() == 3
