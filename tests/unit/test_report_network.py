"""The drawing of the network in the report."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fixtures.report_sample import HOSTILE, sample
from secateur.plan import Cut, Edit, Plan, Removal
from secateur.report.network import _lanes, network
from secateur.result import Block, Round


def test_every_layer_is_a_bar_as_wide_as_the_root_of_its_units() -> None:
    widths = (4, 16, 64)
    text = network(sample(widths=widths)).text
    bars = [float(found) for found in re.findall(r'<rect x="[^"]*" y="[^"]*" width="([^"]*)"[^>]*class="gone"', text)]
    assert [round(bar / bars[0], 2) for bar in bars] == [1, 2, 4]
    assert text.count('class="kept"') == 3


def test_a_layer_tells_why_its_own_units_went_and_not_those_that_it_reads() -> None:
    def edit(site: str, gone: int, threshold: float, *tensors: str) -> Edit:
        removed = tuple(Removal(unit, 0.0, unit) for unit in range(gone))
        return Edit(site, 8, removed, threshold, tensors, "nothing")

    edits = (edit("a", 2, 0.125, "a.weight", "b.weight"), edit("b", 3, 0.25, "b.weight"))
    cuts = (Cut("a.weight", 0, 8, (0, 1)), Cut("b.weight", 1, 8, (0, 1)), Cut("b.weight", 0, 8, (0, 1, 2)))
    blocks = (
        Block("x", "input", "", 4, 4, ()),
        Block("a", "linear", "a.weight", 8, 6, (0,)),
        Block("b", "linear", "b.weight", 8, 5, (1,)),
    )
    result = replace(sample(), blocks=blocks, rounds=(Round(1, Plan("dense", edits, cuts)),))
    first, second = re.findall(r'data-tip="([^"]*)"', network(result).text)
    assert "0.125" in first
    assert "0.25" in second
    assert "0.125" not in second


def test_names_are_escaped() -> None:
    assert "<script" not in network(sample(first_site=HOSTILE)).text


@given(st.sets(st.tuples(st.integers(0, 30), st.integers(2, 9)), max_size=14))
def test_skips_in_one_lane_never_overlap_as_long_as_there_are_lanes(starts: set[tuple[int, int]]) -> None:
    skips = [(start, start + length) for start, length in starts]
    lanes = _lanes(skips)
    most = max((sum(top < place < bottom for top, bottom in skips) for place in range(40)), default=0)
    for number, (top, bottom) in enumerate(skips):
        for other, (above, below) in enumerate(skips[:number]):
            assert lanes[number] != lanes[other] or bottom <= above or below <= top or max(lanes) >= 11
    assert len(set(lanes)) <= max(most, 1) + 1 or max(lanes) >= 11
