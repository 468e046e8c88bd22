"""The page of a comparison, in a browser: all is there, works, and asks no network for anything; and its sheet."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browsing import Visit
from fixtures.comparison_sample import HOSTILE, sample
from secateur.comparing.ranking import ranked
from secateur.comparison import Comparison, to_json
from secateur.errors import FileError
from secateur.report import compared
from secateur.report.compared.page import headline
from secateur.report.compared.points import Point, front, points
from secateur.report.reading import read_comparison

Open = Callable[..., Any]


@pytest.fixture
def visit(visited: Visit) -> Open:
    """Opens the page of a comparison."""

    def open_page(comparison: Comparison, **options: Any) -> Any:
        compared.write(read_comparison(to_json(comparison)), visited.path)
        return visited(**options)

    return open_page


def test_a_click_on_a_mark_shows_what_it_stands_for(visit: Open) -> None:
    page = visit(sample())
    marks = page.locator("#plots .of-validation .scatter").first.locator(".point")

    assert marks.count() == 8  # the method that fails has none
    assert page.locator(".one:visible h3").inner_text() == "dense + 1 epoch"
    mark = marks.filter(has=page.locator("polygon")).first
    mark.click(force=True)
    label = mark.get_attribute("aria-label")
    assert label.startswith(page.locator(".one:visible h3").inner_text())
    assert page.locator(".one:visible").count() == 1
    assert mark.get_attribute("aria-pressed") == "true"
    page.locator("#budgets button", has_text="bn_scale").first.click()
    assert "no norm scales its 64 units" in page.locator(".one:visible").inner_text()


def test_marks_are_reached_by_the_keyboard(visit: Open) -> None:
    page = visit(sample())
    plot = page.locator("#plots .of-validation .scatter").first
    assert plot.locator(".point[tabindex='0']").count() == 1
    plot.locator(".point[tabindex='0']").focus()

    seen = []
    for _ in range(plot.locator(".point").count()):
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        seen.append(label)
        page.keyboard.press("ArrowRight")
        assert plot.locator(".point[tabindex='0']").count() == 1
    assert len(set(seen)) == len(seen)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "H3"


def test_plots_and_tables_speak(visit: Open) -> None:
    page = visit(sample())

    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("table").count() == page.locator("table > caption").count()
    assert page.locator("svg:not([aria-label]):not([aria-hidden])").count() == 0
    assert page.locator(".point:not([aria-label])").count() == 0
    said = page.locator(".scatter svg").first.get_attribute("aria-label")
    assert "On the Pareto front: " in said and "untouched (97.00 at 100" in said


def test_the_figures_on_test_data_are_a_switch_away(visit: Open) -> None:
    page = visit(sample())

    assert page.locator(".of-test").is_hidden()
    page.locator("#on-test").check()
    assert page.locator(".of-test").is_visible() and page.locator(".of-validation").is_hidden()


def test_without_test_data_there_is_no_switch(visit: Open) -> None:
    page = visit(sample(test=False))

    assert page.locator("#on-test").count() == 0
    assert page.locator(".of-validation").is_visible()


def test_cells_can_be_searched_and_shown_by_outcome(visit: Open) -> None:
    page = visit(sample())

    assert page.locator("#cell-count").inner_text() == "24 cells"
    page.fill("#cell-search", "magnitude 20")
    assert page.locator("#cell-count").inner_text() == "8 cells"  # four are its own, the others' reason names it
    page.select_option("#cell-show", "finished")
    assert page.locator("#cell-count").inner_text() == "4 cells"


def test_sheet_and_plots_can_be_saved(visit: Open) -> None:
    page = visit(sample())

    with page.expect_download() as sheet:
        page.locator("#save-csv").click()
    assert Path(sheet.value.path()).read_text(encoding="utf-8") == compared.sheet(sample())
    with page.expect_download() as picture:
        page.locator(".of-validation .save").first.click()
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
    assert picture.value.suggested_filename == "validation accuracy over MACs.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(visit: Open, scheme: str) -> None:
    long = "a_method_with_a_name_that_does_not_end (setting=of_its_own, another=one)"
    page = visit(sample((long, "b", "c")), viewport={"width": 360, "height": 740}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_names_are_shown_as_they_are_and_never_run(visit: Open) -> None:
    page = visit(sample((HOSTILE, "b", HOSTILE[::-1])))

    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator(".winners").inner_text()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_the_page_is_whole_however_few_have_finished(visit: Open, failing: int) -> None:
    found = sample(("dense", "magnitude", "bn_scale")[-failing:])
    page = visit(found)

    assert page.locator("section").count() == 6
    if failing == 1:
        assert page.locator("h1").inner_text() == headline(found) == "Nothing that was tried finished"
        assert "nothing to draw" in page.locator("#plots").inner_text()


def test_a_method_that_was_tried_alone_is_not_called_the_best() -> None:
    both = sample(("dense", "bn_scale"))
    alone = [trial for trial in both.trials if trial.cell.method == "dense"]
    one = [trial for trial in alone if trial.cell.budget == alone[0].cell.budget]

    said = [headline(replace(both, rankings=ranked(trials, both.decisive))) for trials in (alone, one)]

    assert said == [
        "dense under 2 budgets; no other method was tried",
        "dense with 50 % MACs left; no other method was tried",
    ]


def test_the_front_is_what_nothing_as_cheap_beats() -> None:
    chance = np.random.default_rng(2)
    for _ in range(20):
        at = [tuple(pair) for pair in np.round(chance.random((12, 2)), 1)]
        marks = [Point(0, "", x, y, None, 0, False, False) for x, y in at]

        everything = {*at, (1.0, 0.8)}
        best = {one for one in everything if not any(_beats(other, one) for other in everything)}

        assert set(front(marks, 0.8)) == best


def _beats(other: tuple[float, float], one: tuple[float, float]) -> bool:
    return other != one and other[0] <= one[0] and other[1] >= one[1]


def test_marks_lie_where_their_figures_are() -> None:
    found = {point.name: point for point in points(sample(), "macs", "accuracy")}

    assert found["dense, 50 % MACs left"].x == pytest.approx(39_000 / 79_000)
    assert found["dense, 50 % MACs left"].y == 96.0
    assert found["dense + 1 epoch, 20 % MACs left"].deviation == pytest.approx(np.std([0, 0.2, 0.4], ddof=1))


def test_the_sheet_has_every_cell_and_no_formula() -> None:
    found = sample(("dense", "=1+1", "bn_scale"))
    first, *rows = csv.DictReader(io.StringIO(compared.sheet(found)))

    assert (first["method"], first["accuracy"], first["parameters"]) == ("untouched", "97.0", "80000")
    assert len(rows) == len(found.trials)
    assert {row["method"] for row in rows} == {"dense", "'=1+1", "bn_scale"}
    assert [row["failure"] != "" for row in rows] == [trial.failure != "" for trial in found.trials]
    assert rows[0]["latency_1_share"] == "0.6" and rows[0]["accuracy_after_cut"] == "94.0"


def test_a_comparison_is_read_as_it_was_written() -> None:
    found = sample()

    assert read_comparison(to_json(found)) == replace(found, rankings=found.rankings)
    for spoilt in ("{}", "[]", to_json(found).replace('"rankings"', '"ranks"')):
        with pytest.raises(FileError, match=r"comparison"):
            read_comparison(spoilt)
