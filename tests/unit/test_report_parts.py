"""The report's parts: what it says, what it refuses to read, and how it is written."""

import dataclasses
import errno
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.report_sample import sample
from secateur import report
from secateur.errors import FileError
from secateur.plan import Edit, Plan, Removal
from secateur.report import figures
from secateur.report.bins import binned
from secateur.report.fates import fates
from secateur.report.reading import read
from secateur.report.summary import headline, summary
from secateur.result import Latency, Measurement, Result, Round, SiteScores, Step, to_json


def plain(text: str) -> str:
    """The text with ordinary spaces only."""
    return re.sub(r"\s", " ", text)


def rounds_of(*rounds: Round, widths: dict[str, tuple[int, int]]) -> Result[None]:
    """A result with these rounds and nothing else."""
    return Result(
        model=None, method="chance", metric="accuracy", steps=sample().steps[:1], rounds=rounds, widths=widths
    )


def speed(before: float, after: float, spread: float) -> Result[None]:
    """The sample as if only its first and its last network had been timed."""
    result = sample(widths=(2,))
    first, last = result.steps[0], result.steps[-1]
    return replace(result, steps=(_timed(first, before, spread), _timed(last, after, spread)))


def _timed(step: Step, median: float, spread: float) -> Step:
    return replace(step, measurement=replace(step.measurement, latency=(Latency(median, spread, 1, 1, 100),)))


def test_nothing_in_the_page_points_outside(tmp_path: Path) -> None:
    report.write(to_json(sample()), tmp_path / "report.html")

    text = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert not re.search(r"https?:|url\(|@import|\bsrc=", text)


def test_the_headline_names_what_changed() -> None:
    costs = "78.1 % fewer parameters, 4.6× fewer MACs, 1.4× faster at batch 1"

    assert plain(headline(sample())) == f"{costs}, test accuracy 97.5 → 97.8 (+0.3 points)"


def test_the_headline_says_which_data_the_quality_is_from() -> None:
    result = sample(widths=(2,))
    first, last = (
        replace(step.measurement, quality={"accuracy": 90.04}) for step in (result.steps[0], result.steps[-1])
    )
    steps = (replace(result.steps[0], measurement=first), replace(result.steps[-1], measurement=last))

    assert plain(headline(replace(result, steps=steps))).endswith("validation accuracy 90.0 → 90.0 (±0 points)")


def test_a_difference_below_a_tenth_is_shown() -> None:
    assert figures.points(90.04, 90.09) == ("90.04", "90.09", "+0.05")
    assert figures.points(90.0, 89.0) == ("90.0", "89.0", "\u22121.0")


@pytest.mark.parametrize(
    ("before", "after", "spread", "claim"),
    [
        (2.0, 1.0, 0.1, "2.0× faster at batch 1"),
        (1.0, 2.0, 0.1, "2.0× slower at batch 1"),
        (1.05, 1.0, 0.01, "5 % faster at batch 1"),
        (1.05, 1.0, 0.1, "no measurable change in speed at batch 1"),
        (1.0, 1.0, 0.0, "no measurable change in speed at batch 1"),
    ],
)
def test_speed_is_claimed_only_beyond_the_noise(before: float, after: float, spread: float, claim: str) -> None:
    assert claim in plain(headline(speed(before, after, spread)))


def test_a_card_for_what_got_worse_says_so_and_noise_does_not() -> None:
    def bars(result: Result[None]) -> int:
        return summary(result).text.count("meter worse")

    assert (bars(speed(1.0, 2.0, 0.01)), bars(speed(2.0, 1.0, 0.01)), bars(speed(1.0, 1.01, 0.5))) == (1, 0, 0)


def test_speed_is_not_claimed_where_the_two_were_not_timed_alike() -> None:
    result = speed(2.0, 1.0, 0.1)
    last = result.steps[-1]
    others = (Latency(1.0, 0.1, 1, 2, 100), Latency(1.0, 0.1, 8, 1, 100), Latency(1.0, 0.1, 1, 1, 100, "onnxruntime"))
    steps = (*result.steps[:-1], replace(last, measurement=replace(last.measurement, latency=others)))

    assert "fast" not in headline(replace(result, steps=steps))


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(to_json(sample()), encoding="utf-8")

    assert read(tmp_path / "result.json") == read(str(tmp_path / "result.json")) == read(to_json(sample())) == sample()


def test_measurements_from_before_operators_and_memory_were_counted_are_read() -> None:
    data = json.loads(to_json(sample()))
    for step in (*data["steps"], *data["controls"]):
        del step["measurement"]["macs_by_operator"], step["measurement"]["peak_activation_bytes"]
    found = read(json.dumps(data))
    assert found.original.macs == sample().original.macs
    assert (found.original.macs_by_operator, found.original.peak_activation_bytes) == ({}, 0)


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
    result = rounds_of(*rounds, widths={"a": (units, len(left))})

    found, notes = fates(result)

    kept = {fate.unit: fate.now for fate in found if fate.reason is None}
    lost = {fate.unit for fate in found if fate.reason}
    assert not notes and len(found) == units and kept.keys() | lost == set(range(units))
    assert kept == {unit: unit - sum(other < unit for other in lost) for unit in range(units) if unit not in lost}


def test_units_that_cannot_be_followed_are_said() -> None:
    plan = Plan("chance", (Edit("a", 3, (Removal(0, 0.0, 0),)),))
    result = rounds_of(Round(1, plan, (SiteScores("a", (0.0, 1.0, 2.0), (0,)),)), widths={"a": (8, 2)})

    found, notes = fates(result)

    assert notes == ("a: round 1 counts 3 units where 8 were left; from there on the numbers are that round's own.",)
    assert [fate.now for fate in found if fate.reason is None] == [0, 1]


@given(st.lists(st.floats(), max_size=50), st.booleans(), st.floats() | st.none())
def test_every_finite_score_is_counted_once(scores: list[float], log: bool, threshold: float | None) -> None:
    finite = [value for value in scores if math.isfinite(value)]
    log = log and min(finite, default=-1) >= 0

    bins = binned(scores, range(0, len(scores), 2), threshold, log=log)

    if bins is None:
        assert not finite
        return
    lost = [value for value in scores[::2] if math.isfinite(value)]
    assert (sum(bins.kept), sum(bins.removed)) == (len(finite) - len(lost), len(lost))
    assert bins.edges[-1] == pytest.approx(max(finite))
    assert bins.cut is None or 0 <= bins.cut <= 1


@pytest.mark.parametrize("log", [False, True])
@given(st.lists(st.integers(0, 17), min_size=79, max_size=79))
def test_scores_are_counted_where_they_lie(log: bool, places: list[int]) -> None:
    shares = [0.0, *((place + 0.5) / 18 for place in places), 1.0]
    scores = [10.0 ** (4 * share) if log else 7.0 * share - 3.0 for share in shares]

    bins = binned(scores, range(81), scores[1], log=log)

    assert bins is not None and sum(bins.kept) == 0
    assert list(bins.removed) == [places.count(i) + (i in (0, 17)) for i in range(18)]
    assert bins.cut == pytest.approx(shares[1])


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
    "a block that reads a later one": damaged(lambda data: data["blocks"][1].update(inputs=[2])),
    "less than no channels": damaged(lambda data: data["blocks"][1].update(after=-1)),
    "too many units": damaged(lambda data: data["widths"].update(a=[10**12, 1])),
}


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_not_a_result_is_refused_in_one_line_and_leaves_no_page(text: str, tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text(text, encoding="utf-8")

    with pytest.raises(FileError, match=r"foreign\.json: .+; ") as caught:
        report.write(tmp_path / "foreign.json", tmp_path / "report.html")

    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.json", None, "no such file"),
        (".", None, "this is a folder"),
        ("\0", None, "no such file"),
        ("\ud800", None, "no such file"),
        ("result.json", b"", "the file is empty"),
        ("result.json", b"\x80\x04\x95", "not a text file"),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(FileError, match=reason):
        report.write(tmp_path / name, tmp_path / "report.html")

    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["no/such/folder/report.html", "file/report.html", "folder"])
def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(FileError, match=f"{name}: "):
        report.write(to_json(sample(widths=(2,))), tmp_path / name)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_text_that_is_neither_json_nor_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        report.write("not JSON, and too long for a path " * 1000, tmp_path / "report.html")

    assert len(str(caught.value)) < 500


def test_a_full_disk_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(FileError, match="the disk is full"):
        report.write(to_json(sample(widths=(2,))), tmp_path / "report.html")

    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old"]


def test_the_sample_leaves_no_field_of_a_result_at_its_default() -> None:
    lacking = [field.name for field in dataclasses.fields(Measurement) if field.name != "uncounted"]

    assert all(getattr(sample().steps[0].measurement, name) for name in lacking)
    assert all(getattr(sample(), field.name) for field in dataclasses.fields(Result) if field.name != "model")
