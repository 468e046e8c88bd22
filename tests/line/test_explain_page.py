"""The page of an explanation, opened in a real browser: it shows what the data says, and is quick with many units."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from browsing import Visit
from fixtures.explanation_sample import Draw, grey, picture, row, sample, text, wide
from fixtures.report_sample import HOSTILE
from secateur.explanation import Explanation, SiteExplanation
from secateur.report import explained
from secateur.report.explained.page import CONTENTS
from secateur.result import Agreement

Open = Callable[..., Any]
MANY = 80_000


@pytest.fixture
def visit(visited: Visit) -> Open:
    """Opens the page of an explanation once its data is unpacked."""

    def open_page(explanation: Explanation, **options: Any) -> Any:
        explained.write(explanation, visited.path, about={"model": HOSTILE})
        page = visited(**options)
        page.wait_for_selector("#unit-table tbody tr")
        page.wait_for_selector("#site-panel :is(svg, p)")
        return page

    return open_page


def with_scores(explanation: Explanation, scores: list[float]) -> Explanation:
    """The explanation with scores in place of those of its first site, none of whose units is shown."""
    ranks = tuple(range(len(scores)))
    bare = SiteExplanation("bare", np.array(scores), ranks, remark="its outputs cannot be followed")
    return replace(explanation, sites=(bare, *explanation.sites[1:]))


EDGES = {
    "texts": sample(),
    "hostile names": sample((HOSTILE, "b")),
    "half a surrogate": sample(("\ud800",)),
    "one unit": sample(("only",), units=1),
    "two units": sample(("only",), units=2),
    "two hundred sites": sample(tuple(f"layer.{number}" for number in range(200)), units=4, shown=1),
    "nothing shown": with_scores(sample(("a",)), [1.0, 2.0]),
    "scores of NaN": with_scores(sample(), [math.nan, math.nan]),
    "infinite scores": with_scores(sample(), [-math.inf, 1.0, math.inf]),
    "scores too large for float32": with_scores(sample(), [1e300, 2.0]),
    "negative scores": with_scores(sample(), [-3.0, 2.0]),
    "scores that are alike": with_scores(sample(("a",)), [0.0, 0.0]),
    "halves": sample(agreement=Agreement(0.4, 0.7, 0.5)),
    "halves without correlation": sample(agreement=Agreement(None, 1.0, 0.5)),
}


@pytest.mark.parametrize("explanation", EDGES.values(), ids=EDGES.keys())
def test_every_section_is_there_whatever_the_explanation_lacks(visit: Open, explanation: Explanation) -> None:
    page = visit(explanation)

    assert page.locator("h1").count() == 1
    assert [page.locator(f"section#{name} > h2").is_visible() for name, _ in CONTENTS] == [True] * len(CONTENTS)
    assert page.locator("img").count() == 0
    assert "undefined" not in page.inner_text("body")
    assert page.locator("svg:not([role=img]), svg:not([aria-label]), th:not([scope])").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0


def unit_panel(page: Any, name: str) -> Any:
    panel = page.locator("#unit-panel")
    panel.get_by_role("heading", name=name, exact=True).wait_for()
    return panel


def test_the_first_site_is_open_with_its_most_important_unit(visit: Open) -> None:
    explanation = sample()
    site = explanation.sites[0]
    page = visit(explanation)

    panel = unit_panel(page, f"{site.name}, unit {site.most[0].number}")
    outputs = site.most[0].outputs[0]
    for title, numbers in (
        ("Lowest outputs", outputs.lowest),
        ("Just below the gap", outputs.below),
        ("Just above the gap", outputs.above),
        ("Highest outputs", outputs.highest),
    ):
        shown = panel.locator(".group", has=page.get_by_role("heading", name=title)).locator("li")
        assert [item.locator("p").last.inner_text() for item in shown.all()] == [f"text {n} is here" for n in numbers]
        values = [float(item.locator("strong").inner_text().replace("−", "-")) for item in shown.all()]
        assert values == pytest.approx([outputs.values[n] for n in numbers], rel=1e-3)
    cards = [card.get_attribute("data-unit") for card in page.locator("button.unit").all()]
    assert cards == [str(unit.number) for unit in (*site.most, *site.least)]


def test_histograms_and_barcodes_are_drawn_from_the_outputs(visit: Open) -> None:
    explanation = sample()
    outputs = explanation.sites[0].most[0].outputs[0]
    page = visit(explanation)

    panel = unit_panel(page, f"{explanation.sites[0].name}, unit {explanation.sites[0].most[0].number}")
    tips = panel.locator(".chart").first.locator("[data-tip]")
    counts = [int((tip.get_attribute("data-tip") or "").split(": ")[1].split()[0]) for tip in tips.all()]
    assert sum(counts) == explanation.watched
    bars = panel.locator(".chart").last.locator("rect.kept, rect.longest")
    wide = np.array([float(bar.get_attribute("width") or 0) for bar in bars.all()])
    deaths = outputs.deaths[::-1][: len(wide)]
    np.testing.assert_allclose(wide / wide[0], np.maximum(deaths / deaths[0], 1 / wide[0]), rtol=1e-3)


def test_sites_and_units_open_at_a_click(visit: Open) -> None:
    explanation = sample()
    head = explanation.sites[2]
    page = visit(explanation)

    page.get_by_role("button", name="head", exact=True).click()
    unit_panel(page, f"head, unit {head.most[0].number}")
    page.locator(f"button.unit[data-unit='{head.least[1].number}']").click()
    unit_panel(page, f"head, unit {head.least[1].number}")
    assert page.locator("button.unit[aria-pressed=true]").get_attribute("data-unit") == str(head.least[1].number)
    page.select_option("#site-choice", "1")
    unit_panel(page, f"encoder.1, unit {explanation.sites[1].most[0].number}")


def test_units_are_searched_sorted_and_opened_from_the_table(visit: Open) -> None:
    explanation = sample()
    page = visit(explanation)
    rows = page.locator("#unit-table tbody tr")

    assert page.locator("#unit-count").inner_text() == "90 units"
    page.get_by_role("button", name="Score").click()
    page.get_by_role("button", name="Score").click()
    highest = max(site.scores.max() for site in explanation.sites)
    assert float(rows.first.locator("td").nth(1).inner_text()) == pytest.approx(highest, rel=1e-3)
    page.select_option("#unit-show", "shown")
    assert page.locator("#unit-count").inner_text() == "18 units"
    site = explanation.sites[1]
    page.fill("#unit-search", f"coder.1 {site.least[0].number}")
    assert page.locator("#unit-count").inner_text() == "1 unit"
    assert rows.first.locator("td").nth(2).inner_text() == "0"
    rows.first.get_by_role("button").click()
    unit_panel(page, f"encoder.1, unit {site.least[0].number}")
    page.fill("#unit-search", "no such unit")
    assert rows.count() == 0


def pixels(canvas: Any) -> list[int]:
    return canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")  # type: ignore[no-any-return]


@pytest.mark.parametrize("draw", [picture, grey], ids=["colours", "grey"])
def test_pictures_are_drawn_as_they_are_and_maps_beside_them(visit: Open, draw: Draw) -> None:
    explanation = sample(draw=draw)
    unit = explanation.sites[0].most[0]
    page = visit(explanation)

    panel = unit_panel(page, f"{explanation.sites[0].name}, unit {unit.number}")
    seen = panel.locator("canvas")
    assert seen.count() == 2 * 12
    content = draw(unit.outputs[0].lowest[0])
    wanted = np.broadcast_to(content.pixels, (8, 6, 3))  # type: ignore[union-attr]
    found = np.array(pixels(seen.nth(0))).reshape(8, 6, 4)
    np.testing.assert_array_equal(found[..., :3], wanted)
    light = np.array(pixels(seen.nth(1))).reshape(4, 5, 4)[..., :3].sum(-1)
    drawn = unit.outputs[0].maps[unit.outputs[0].lowest[0]]
    assert np.argsort(light, axis=None)[[0, -1]].tolist() == np.argsort(drawn, axis=None)[[0, -1]].tolist()


def test_rows_stand_side_by_side_and_what_tells_the_ends_apart_comes_first(visit: Open) -> None:
    explanation = sample(draw=row)
    page = visit(explanation)

    panel = unit_panel(page, f"{explanation.sites[0].name}, unit {explanation.sites[0].most[0].number}")
    names = [head.inner_text() for head in panel.locator("tbody th").all()]
    assert names[0] == "number" and set(names) == {"number", "always", "colour"}
    outputs = explanation.sites[0].most[0].outputs[0]
    numbers = [number for group in (outputs.lowest, outputs.below, outputs.above, outputs.highest) for number in group]
    cells = [cell.inner_text() for cell in panel.locator("tbody tr").first.locator("td").all()]
    assert cells == [str(number) for number in numbers]


def test_rows_of_many_columns_are_folded(visit: Open) -> None:
    page = visit(sample(draw=wide))

    assert page.locator("#unit-panel tbody tr").count() == 12
    page.get_by_role("button", name="Show all 30 columns").click()
    assert page.locator("#unit-panel tbody tr").count() == 30


def test_layers_that_make_a_unit_together_are_chosen_by_name(visit: Open) -> None:
    explanation = sample(("both",))
    (site,) = explanation.sites
    first, second = (
        replace(unit.outputs[0], layer=name) for unit, name in zip(site.most, ("query", "key"), strict=False)
    )
    unit = replace(site.most[0], outputs=(first, second))
    page = visit(replace(explanation, sites=(replace(site, most=(unit, *site.most[1:])),)))
    panel = unit_panel(page, f"both, unit {unit.number}")
    before = panel.locator(".chart .note").first.inner_text()
    panel.get_by_label("Made by 2 layers").select_option("key")
    page.wait_for_function("t => document.querySelector('#unit-panel .chart .note').innerText !== t", arg=before)
    assert panel.locator("li").first.locator("p").last.inner_text() == f"text {second.lowest[0]} is here"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("draw", [text, picture, wide])
def test_the_page_fits_a_phone(visit: Open, scheme: str, draw: Draw) -> None:
    names = ("encoder.layer.11.attention.output.dense.with.a.name.that.does.not.end", "b")
    page = visit(sample(names, draw=draw), viewport={"width": 360, "height": 740}, color_scheme=scheme)

    page.locator("#unit-panel svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_scale_of_scores_can_be_changed(visit: Open) -> None:
    page = visit(sample())

    before = page.locator("#scores .log-scale").first.is_visible()
    page.locator("#log").set_checked(not before)

    assert page.locator("#scores .log-scale").first.is_visible() is not before
    assert page.locator("#scores .plain-scale").first.is_visible() is before


def test_a_page_of_many_units_is_small_and_draws_only_what_is_looked_at(visit: Open, visited: Visit) -> None:
    page = visit(sample(tuple(f"layer.{number}.dense" for number in range(40)), units=MANY // 40, shown=4))

    assert visited.path.stat().st_size < 2_000_000
    assert page.locator("#unit-count").inner_text() == f"{MANY:,} units"
    assert page.evaluate("document.querySelectorAll('*').length") < 2_000
    page.get_by_role("button", name="Rank").click()
    assert page.locator("#unit-table tbody td").nth(2).inner_text() == "0"
    page.fill("#unit-search", "layer.39. 1999")
    assert page.locator("#unit-count").inner_text() == "1 unit"
