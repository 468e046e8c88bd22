"""The report: one page made from a result's JSON alone, opened in a real browser."""

import dataclasses
import errno
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.report_sample import HOSTILE, sample
from hypothesis import given
from hypothesis import strategies as st

from secateur import report
from secateur.errors import FileError
from secateur.plan import Edit, Plan, Removal
from secateur.report.bins import binned
from secateur.report.fates import fates
from secateur.report.page import CONTENTS
from secateur.report.reading import read
from secateur.report.summary import headline
from secateur.result import Latency, Measurement, Result, Round, SiteScores, Step, to_json

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
Visit = Callable[..., Any]


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


def speed(before: float, after: float, spread: float) -> Result[None]:
    """The sample as if only its first and its last network had been timed."""
    result = with_measurements(replace(sample(), rounds=sample().rounds[:2], steps=sample().steps[:7]), latency=())
    first, *middle, last = result.steps
    return replace(result, steps=(_timed(first, before, spread), *middle, _timed(last, after, spread)))


def _timed(step: Step, median: float, spread: float) -> Step:
    return replace(step, measurement=replace(step.measurement, latency=(Latency(median, spread, 1, 1, 100),)))


EDGES = {
    "no rounds": replace(sample(), rounds=(), steps=sample().steps[:1], widths={}, pinned=(), settings={}, notes=()),
    "no latency": with_measurements(sample(), latency=()),
    "no quality": with_measurements(sample(), quality={}),
    "quality of NaN": with_measurements(sample(), quality={"accuracy": math.nan}),
    "nothing left": with_measurements(sample(), parameters=0, macs=0, size_bytes=0),
    "uncounted operators": with_measurements(sample(), uncounted=("aten.sort", "aten.topk")),
    "scores of NaN": with_scores(sample(), math.nan),
    "infinite scores": with_scores(sample(), math.inf),
    "negative infinite scores": with_scores(sample(), -math.inf),
    "one unit": sample(widths=(1,)),
    "two hundred sites": sample(widths=(16,) * 200),
    "hostile names": sample(first_site=HOSTILE),
    "half a surrogate": sample(first_site="\ud800"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH to open the report with")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: the report is not opened"
    )
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Visit]:
    """Opens the report of a result; afterwards, nothing may have been reported as wrong nor asked of a network."""
    wrong: list[str] = []
    asked: list[str] = []
    path = tmp_path / "report.html"

    def open_report(result: Result[None], **options: Any) -> Any:
        report.write(to_json(result), path)
        page = browser.new_page(**options)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_report
    assert not wrong
    assert set(asked) <= {path.as_uri()}


@pytest.mark.parametrize("result", EDGES.values(), ids=EDGES.keys())
def test_every_section_is_there_whatever_the_result_lacks(visit: Visit, result: Result[None]) -> None:
    page = visit(result)

    assert page.locator("h1").count() == 1
    assert [page.locator(f"section#{name} > h2").is_visible() for name, _ in CONTENTS] == [True] * len(CONTENTS)
    assert page.locator("#unit-count").inner_text().endswith(("unit", "units"))
    assert "nan%" not in page.content() and "undefined" not in page.inner_text("body")


def test_names_are_shown_as_they_are_and_never_run(visit: Visit) -> None:
    page = visit(sample(first_site=HOSTILE))

    assert page.locator("img").count() == 0
    shown = page.evaluate("document.querySelector('#widths tbody th').textContent")
    assert shown == HOSTILE
    assert page.evaluate("document.querySelector('#unit-table tbody th').textContent") == HOSTILE


def test_units_can_be_searched_sorted_and_turned_over(visit: Visit) -> None:
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


def test_kept_units_name_their_new_number(visit: Visit) -> None:
    page = visit(sample(widths=(8, 8)))
    page.select_option("#unit-show", "kept")
    page.fill("#unit-search", "hidden.3")

    now = [row.locator("td").nth(1).inner_text() for row in page.locator("#unit-table tbody tr").all()]

    assert now == ["→ 0", "→ 1", "→ 2"]


def test_only_one_page_of_many_units_is_drawn(visit: Visit) -> None:
    page = visit(sample(widths=(400,) * 200))

    assert page.locator("#unit-count").inner_text() == "56,000 units"
    assert page.locator("#unit-table tbody tr").count() == 25


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(visit: Visit, scheme: str) -> None:
    long = "encoder.layer.11.attention.output.dense.with.a.name.that.does.not.end"
    page = visit(sample(first_site=long), viewport={"width": 360, "height": 740}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_tables_and_pictures_speak(visit: Visit) -> None:
    page = visit(sample())

    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("svg:not([role=img]), svg:not([aria-label])").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0
    targets = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert all(page.locator(str(target)).count() == 1 for target in targets)


def test_the_scale_of_scores_can_be_changed(visit: Visit) -> None:
    page = visit(sample())

    before = page.locator("#scores .log-scale").first.is_visible()
    page.uncheck("#log")

    assert before and not page.locator("#scores .log-scale").first.is_visible()
    assert page.locator("#scores .plain-scale").first.is_visible()


def test_nothing_in_the_page_points_outside(tmp_path: Path) -> None:
    report.write(to_json(sample()), tmp_path / "report.html")

    text = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert not re.search(r"https?:|url\(|@import|\bsrc=", text)


def test_the_headline_names_what_changed() -> None:
    expected = "78.1 % fewer parameters, 4.6× fewer MACs, 1.4× faster at batch 1, accuracy 97.8 → 98.1 (+0.3 points)"

    assert headline(sample()).replace("\u202f", " ") == expected


@pytest.mark.parametrize(
    ("before", "after", "spread", "claim"),
    [
        (2.0, 1.0, 0.1, "2.0× faster at batch 1"),
        (1.0, 2.0, 0.1, "2.0× slower at batch 1"),
        (1.05, 1.0, 0.01, "5\u202f% faster at batch 1"),
        (1.05, 1.0, 0.1, "no measurable change in speed at batch 1"),
        (1.0, 1.0, 0.0, "no measurable change in speed at batch 1"),
    ],
)
def test_speed_is_claimed_only_beyond_the_noise(before: float, after: float, spread: float, claim: str) -> None:
    assert claim in headline(speed(before, after, spread))


def test_speed_is_not_claimed_where_the_two_were_not_timed_alike() -> None:
    result = speed(2.0, 1.0, 0.1)
    last = result.steps[-1]
    others = (Latency(1.0, 0.1, 1, 2, 100), Latency(1.0, 0.1, 8, 1, 100), Latency(1.0, 0.1, 1, 1, 100, "onnxruntime"))
    steps = (*result.steps[:-1], replace(last, measurement=replace(last.measurement, latency=others)))

    assert "fast" not in headline(replace(result, steps=steps))
    assert "fast" not in headline(EDGES["no latency"])


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(to_json(sample()), encoding="utf-8")

    assert read(tmp_path / "result.json") == read(str(tmp_path / "result.json")) == read(to_json(sample())) == sample()


@given(st.data())
def test_new_numbers_count_the_units_left_below(data: st.DataObject) -> None:
    units = data.draw(st.integers(0, 30))
    left, rounds = list(range(units)), []
    for number in range(data.draw(st.integers(0, 3))):
        cumulative = data.draw(st.booleans())
        count = units if cumulative else len(left)
        gone = data.draw(st.sets(st.integers(0, count - 1))) if count else set()
        removed = tuple(Removal(unit, 0.5, rank) for rank, unit in enumerate(sorted(gone)))
        rounds.append(Round(number, Plan("chance", (Edit("a", count, removed),))))
        numbers = range(units) if count != len(left) else left
        left = [unit for unit in left if unit not in {numbers[index] for index in gone}]
    result = replace(EDGES["no rounds"], rounds=tuple(rounds), widths={"a": (units, len(left))})

    found, notes = fates(result)

    kept = {fate.unit: fate.now for fate in found if fate.reason is None}
    lost = {fate.unit for fate in found if fate.reason}
    assert not notes and len(found) == units and kept.keys() | lost == set(range(units))
    assert kept == {unit: unit - sum(other < unit for other in lost) for unit in range(units) if unit not in lost}


def test_units_that_cannot_be_followed_are_said() -> None:
    plan = Plan("chance", (Edit("a", 3, (Removal(0, 0.0, 0),)),))
    result = replace(
        EDGES["no rounds"], rounds=(Round(1, plan, (SiteScores("a", (0.0, 1.0, 2.0), (0,)),)),), widths={"a": (8, 2)}
    )

    found, notes = fates(result)

    assert notes == ("a: round 1 counts 3 units where 8 were left; from there on the numbers are that round's own.",)
    assert [fate.now for fate in found if fate.reason is None] == [0, 1]


@given(st.lists(st.floats(), max_size=50), st.booleans(), st.floats() | st.none())
def test_every_finite_score_is_in_the_bin_that_covers_it(
    scores: list[float], log: bool, threshold: float | None
) -> None:
    finite = [value for value in scores if math.isfinite(value)]
    log = log and min(finite, default=-1) >= 0

    bins = binned(scores, range(0, len(scores), 2), threshold, log=log)

    if bins is None:
        assert not finite
        return
    lost = [value for value in scores[::2] if math.isfinite(value)]
    assert (sum(bins.kept), sum(bins.removed)) == (len(finite) - len(lost), len(lost))
    assert list(bins.edges) == sorted(bins.edges)
    assert bins.cut is None or 0 <= bins.cut <= 1


@given(st.integers(0, len(to_json(sample(widths=(2, 1)))) - 1))
def test_a_cut_off_file_is_refused_in_one_line(length: int) -> None:
    text = to_json(sample(widths=(2, 1)))[:length]

    with pytest.raises(FileError) as caught:
        read(text if text else "{")

    assert "\n" not in str(caught.value)


def damaged(change: Callable[[dict[str, Any]], Any]) -> str:
    """The sample's JSON after a change."""
    data = json.loads(to_json(sample(widths=(4, 4))))
    change(data)
    return json.dumps(data)


DAMAGES = {
    "not JSON": "{",
    "a list": "[1, 2]",
    "another object": '{"a": 1}',
    "nested too deep": "[" * 100_000,
    "another format": damaged(lambda data: data.update(format=2)),
    "a truth value as format": damaged(lambda data: data.update(format=True)),
    "no steps": damaged(lambda data: data.update(steps=[])),
    "a missing field": damaged(lambda data: data.pop("rounds")),
    "an unknown field": damaged(lambda data: data.update(extra=1)),
    "text for a number": damaged(lambda data: data["steps"][0]["measurement"].update(parameters="many")),
    "half a unit": damaged(lambda data: data["steps"][0]["measurement"].update(parameters=0.5)),
    "an enormous number": damaged(lambda data: data["steps"][0]["measurement"].update(macs=10**400)),
    "a number for text": damaged(lambda data: data.update(method=3)),
    "an object for a list": damaged(lambda data: data.update(notes={})),
    "a triple for a pair": damaged(lambda data: data["widths"].update(a=[1, 2, 3])),
    "a unit that is not there": damaged(
        lambda data: data["rounds"][0]["plan"]["edits"][0]["removed"][0].update(unit=4)
    ),
    "a score that is not there": damaged(lambda data: data["rounds"][0]["scores"][0].update(removed=[4])),
    "too many units": damaged(lambda data: data["widths"].update(a=[10**12, 1])),
}


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_not_a_result_is_refused_in_one_line_and_leaves_no_page(text: str, tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text(text, encoding="utf-8")

    with pytest.raises(FileError, match=r"foreign\.json: .+; ") as caught:
        report.write(tmp_path / "foreign.json", tmp_path / "report.html")

    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["missing.json", ".", "\0"])
def test_what_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot read the result"):
        report.write(tmp_path / name, tmp_path / "report.html")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\x80\x04\x95")

    with pytest.raises(FileError, match="cannot read the result"):
        report.write(tmp_path / "result.json", tmp_path / "report.html")


@pytest.mark.parametrize("name", ["no/such/folder/report.html", "file/report.html", "folder"])
def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(FileError, match="cannot write the report"):
        report.write(to_json(sample(widths=(2,))), tmp_path / name)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    monkeypatch.setattr(Path, "replace", full)

    with pytest.raises(FileError, match="No space left on device"):
        report.write(to_json(sample(widths=(2,))), tmp_path / "report.html")

    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old"]


def test_the_sample_leaves_no_field_of_a_result_at_its_default() -> None:
    lacking = [field.name for field in dataclasses.fields(Measurement) if field.name != "uncounted"]

    assert all(getattr(sample().steps[0].measurement, name) for name in lacking)
    assert all(getattr(sample(), field.name) for field in dataclasses.fields(Result) if field.name != "model")
