"""Architectures people have: found fast, mostly removable, cut exactly; refused only where the table says so."""

from typing import Any

import pytest

from compat.catalogue import Entry, entries
from compat.expected import REFUSED, SHARES
from compat.running import ask

SECONDS = 10
LEAST = {"cnn": 0.9, "transformer": 0.6, "other": 0.0}
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
INDEPENDENTLY = 1e-5
SEEN = 1e-3  # a cut that changes less than this is not seen in the output, and proves nothing


@pytest.mark.parametrize("entry", entries().values(), ids=lambda entry: entry.name)
def test_an_architecture_is_cut_exactly_or_refused_for_a_known_reason(entry: Entry) -> None:
    record = ask("judge", entry.name)
    if entry.name in REFUSED:
        assert record["status"] == "refused", record
        assert REFUSED[entry.name] in record["error"]
        return
    assert record["status"] == "ok", record
    assert record["removable"] >= SHARES.get(entry.name, LEAST[entry.kind]), record["pinned"]
    assert record["cpu_seconds"] <= SECONDS
    _assert_exact(record)
    assert record["trains"] == "yes"


def _assert_exact(record: dict[str, Any]) -> None:
    for seed in (0, 1):
        assert record[f"difference_{seed}"] <= TOLERANCE[record[f"dtype_{seed}"]]
    assert record["independent"] is None or record["independent"] <= INDEPENDENTLY
    assert record["effect"] >= SEEN
