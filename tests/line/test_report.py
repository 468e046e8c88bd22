"""The report, opened in a real browser: everything is there, works, and asks no network for anything."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from browsing import Visit
from fixtures.report_sample import HOSTILE, sample
from secateur import report
from secateur.plan import Edit, Plan
from secateur.report.fates import fates
from secateur.report.page import CONTENTS
from secateur.result import Latency, Result, to_json

Open = Callable[..., Any]


def with_measurements(result: Result[None], **changes: Any) -> Result[None]:
    """The result with every measurement changed in the same way."""
    steps = (replace(step, measurement=replace(step.measurement, **changes)) for step in result.steps)
    return replace(result, steps=tuple(steps))


def with_scores(result: Result[None], value: float) -> Result[None]:
    """The result with one score, threshold and removal of every site set to a value."""
    rounds = []
    for one in result.rounds:
        scores = tuple(replace(each, scores=(value, *each.scores[1:]), threshold=value) for each in one.scores)
        rounds.append(
            replace(one, scores=scores, plan=Plan("dense", tuple(_first_set(e, value) for e in one.plan.edits)))
        )
    return replace(result, rounds=tuple(rounds))


def _first_set(edit: Edit, value: float) -> Edit:
    first = tuple(replace(removal, score=value) for removal in edit.removed[:1])
    return replace(edit, removed=first + edit.removed[1:], threshold=value)


def read_by_many(result: Result[None], takers: str) -> Result[None]:
    """The result with one text of what took over at every site."""
    rounds = []
    for one in result.rounds:
        edits = tuple(replace(edit, taken_over_by=takers) for edit in one.plan.edits)
        rounds.append(replace(one, plan=replace(one.plan, edits=edits)))
    return replace(result, rounds=tuple(rounds))


def bare(result: Result[None]) -> Result[None]:
    """The result with nothing that may be left out."""
    return Result(model=None, method="dense", metric="accuracy", steps=result.steps[:1], rounds=(), widths={})


EDGES = {
    "nothing but the original": bare(sample()),
    "no latency": with_measurements(sample(), latency=()),
    "no quality": with_measurements(sample(), quality={}),
    "quality of NaN": with_measurements(sample(), quality={"accuracy": math.nan}),
    "nothing left": with_measurements(sample(), parameters=0, macs=0, size_bytes=0),
    "memory not known": with_measurements(sample(), peak_activation_bytes=0),
    "uncounted operators": with_measurements(sample(), uncounted=("aten.sort", "aten.topk")),
    "scores of NaN": with_scores(sample(), math.nan),
    "infinite scores": with_scores(sample(), math.inf),
    "negative infinite scores": with_scores(sample(), -math.inf),
    "one unit": sample(widths=(1,)),
    "two hundred sites": replace(sample(widths=(4,) * 200), rounds=sample(widths=(4,) * 200).rounds[:1]),
    "hostile names": sample(first_site=HOSTILE),
    "half a surrogate": sample(first_site="\ud800"),
}


@pytest.fixture
def visit(visited: Visit) -> Open:
    """Opens the report of a result."""

    def open_report(result: Result[None], **options: Any) -> Any:
        report.write(to_json(result), visited.path)
        return visited(**options)

    return open_report


@pytest.mark.parametrize("result", EDGES.values(), ids=EDGES.keys())
def test_every_section_is_there_whatever_the_result_lacks(visit: Open, result: Result[None]) -> None:
    page = visit(result)

    assert page.locator("h1").count() == 1
    absent = {"layers", "search"} | (set() if any(one.halves for one in result.rounds) else {"stability"})
    absent |= set() if result.blocks else {"network"}
    shown = [name for name, _ in CONTENTS if name not in absent]
    assert [page.locator(f"section#{name} > h2").is_visible() for name in shown] == [True] * len(shown)
    assert page.locator("#unit-count").inner_text().endswith(("unit", "units"))
    assert "nan%" not in page.content() and "undefined" not in page.inner_text("body")


def test_names_are_shown_as_they_are_and_never_run(visit: Open) -> None:
    page = visit(sample(first_site=HOSTILE))

    assert page.locator("img").count() == 0
    for table in ("#widths", "#unit-table", "#folds"):
        assert page.evaluate(f"document.querySelector('{table} tbody th').textContent") == HOSTILE


def test_units_can_be_searched_sorted_and_turned_over(visit: Open) -> None:
    result = sample()
    gone = [fate for fate in fates(result)[0] if fate.reason]
    page = visit(result)
    rows = page.locator("#unit-table tbody tr")

    assert page.locator("#unit-count").inner_text() == f"{len(gone)} units"
    page.get_by_role("button", name="Score").click()
    page.get_by_role("button", name="Score").click()
    highest = max(fate.score for fate in gone if fate.score is not None)
    assert float(rows.first.locator("td").nth(2).inner_text()) == pytest.approx(highest, rel=1e-3)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Next").click()
    assert page.locator(".pager").inner_text().split("page ")[1].startswith("2 of ")
    page.fill("#unit-search", "hidden.6 round 2")
    expected = sum(fate.site == "hidden.6" and fate.reason is not None and fate.reason.round == 2 for fate in gone)
    assert page.locator("#unit-count").inner_text() == f"{expected} units"
    page.fill("#unit-search", "no such unit")
    assert rows.count() == 0


def test_kept_units_name_their_new_number(visit: Open) -> None:
    page = visit(sample(widths=(8, 8)))
    page.select_option("#unit-show", "kept")
    page.fill("#unit-search", "hidden.3")

    now = [row.locator("td").nth(1).inner_text() for row in page.locator("#unit-table tbody tr").all()]

    assert now == ["→ 0", "→ 1", "→ 2"]


def test_only_one_page_of_many_units_is_drawn(visit: Open) -> None:
    page = visit(sample(widths=(500,) * 4))

    assert page.locator("#unit-count").inner_text() == "1,400 units"
    assert page.locator("#unit-table tbody tr").count() == 25


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(visit: Open, scheme: str) -> None:
    long = "encoder.layer.11.attention.output.dense.with.a.name.that.does.not.end"
    page = visit(sample(first_site=long), viewport={"width": 360, "height": 740}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_layers_that_took_over_are_counted_where_they_are_many(visit: Open) -> None:
    names = [f"layer1.{block}.conv1" for block in range(28)]
    takers = ", ".join(f"{name} ({'reconstruct' if name != names[5] else 'mean'})" for name in names)
    page = visit(read_by_many(sample(), takers))
    unit = page.locator("#unit-table tbody tr").first

    assert "27 layers (reconstruct), 1 layer (mean)" in page.locator("#widths .why").first.inner_text()
    assert page.locator("#widths .bar").first.get_attribute("data-tip").count("conv1") >= len(names)
    assert names[7] not in unit.inner_text()
    unit.locator("summary", has_text="28 layers").click()
    assert names[7] in unit.inner_text()


def test_numbers_of_cards_stay_on_one_line(visit: Open) -> None:
    page = visit(
        with_measurements(sample(), latency=(Latency(0.0712, 0.001, 1, 1, 9), Latency(0.0843, 0.001, 32, 1, 9)))
    )

    for width in (320, 390, 680, 840, 1000, 1160, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        high = page.evaluate(
            "[...document.querySelectorAll('.cards .values > *')].map(e => Math.round("
            "e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)))"
        )
        wide = page.evaluate("[...document.querySelectorAll('.cards li')].every(e => e.scrollWidth <= e.clientWidth)")
        assert set(high) == {1} and wide


def test_tables_and_pictures_speak(visit: Open) -> None:
    page = visit(sample())

    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("svg:not([role=img]), svg:not([aria-label])").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0
    targets = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert all(page.locator(str(target)).count() == 1 for target in targets)


def test_the_scale_of_scores_can_be_changed(visit: Open) -> None:
    page = visit(sample())

    before = page.locator("#scores .log-scale").first.is_visible()
    page.uncheck("#log")

    assert before and not page.locator("#scores .log-scale").first.is_visible()
    assert page.locator("#scores .plain-scale").first.is_visible()
