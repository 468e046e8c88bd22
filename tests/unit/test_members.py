"""Labels to groups: what is counted all at once is what counting one by one gives."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secateur.coupling.members import Lane, _signatures
from secateur.coupling.rectangles import _is_a_run_each, _whole_runs

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=5)
ROOTS = st.lists(st.integers(0, 5), min_size=6, max_size=6)


@given(st.lists(LABELS, max_size=3), ROOTS)
def test_units_share_a_number_when_they_have_as_many_entries_in_the_same_lanes(
    lanes: list[list[int]], roots: list[int]
) -> None:
    found = _signatures([Lane(f"w{n}", 0, np.array(one), "made") for n, one in enumerate(lanes)], np.array(roots))
    counted = {
        unit: tuple(Counter(roots[label] for label in one)[unit] for one in lanes)
        for unit in {roots[label] for one in lanes for label in one}
    }
    assert found.keys() == counted.keys()
    assert all(number > 0 for number in found.values())
    for one, its in counted.items():
        for other, theirs in counted.items():
            assert (found[one] == found[other]) == (its == theirs)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.data())
def test_rows_hold_one_block_each_when_each_does_by_itself(
    rows: int, columns: int, units: int, data: st.DataObject
) -> None:
    def drawn(low: int, high: int) -> np.ndarray:
        numbers = st.lists(st.integers(low, high), min_size=rows * columns, max_size=rows * columns)
        return np.array(data.draw(numbers)).reshape(rows, columns)

    block = drawn(-1, 1)
    place = np.where(block >= 0, drawn(0, units - 1), -1)
    alone = [_whole_runs(b[b >= 0], p[b >= 0], units) for b, p in zip(block, place, strict=True)]
    assert _is_a_run_each(block, place, units) == all(run == 1 for run in alone)


def test_rows_of_whole_blocks_are_seen() -> None:
    block, place = np.array([[0, 0, -1, 0, 0], [1, 1, 1, 1, -1]]), np.array([[0, 1, -1, 1, 0], [0, 1, 1, 0, -1]])
    assert _is_a_run_each(block, place, 2)
    assert not _is_a_run_each(block, place, 3)
