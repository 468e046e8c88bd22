"""Benchmarks go on where they were stopped, but a result that names a commit holds nothing of another one."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import provenance
from benchmarks import run as runs


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the job of a made-up benchmark was run, in a folder of its own."""
    calls = {"runs": 0}

    def once(job: dict[str, object]) -> dict[str, object]:
        calls["runs"] += 1
        return job | {"run": calls["runs"]}

    monkeypatch.setitem(sys.modules, "benchmarks.made_up", SimpleNamespace(run=once))
    monkeypatch.setattr(runs, "HERE", tmp_path)
    return calls


def test_an_edited_file_of_the_library_or_of_the_benchmarks_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [
        tmp_path / "src" / "a.py",
        tmp_path / "benchmarks" / "b.py",
        tmp_path / "benchmarks" / "results" / "c.json",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("1")
    for line in ("init -q", "add .", "-c user.name=n -c user.email=e commit -qm one"):
        subprocess.run(["git", *line.split()], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "HERE", tmp_path / "benchmarks")
    found = []
    for place in places:
        place.write_text("2")
        found.append(provenance.is_changed())
        place.write_text("1")
    assert found == [True, True, False]


@pytest.mark.parametrize(
    ("later", "changed", "expected"),
    [("a", False, 1), ("b", False, 2), ("a", True, 2)],
    ids=["same", "other", "edited"],
)
def test_a_finished_job_is_kept_for_the_same_code_alone(
    counted: dict[str, int], monkeypatch: pytest.MonkeyPatch, later: str, changed: bool, expected: int
) -> None:
    job = {"name": "made_up", "kind": "made_up"}
    monkeypatch.setattr(runs, "is_changed", lambda: False)
    monkeypatch.setattr(runs, "commit", lambda: "a")
    first = runs._cached(job)
    monkeypatch.setattr(runs, "commit", lambda: later)
    monkeypatch.setattr(runs, "is_changed", lambda: changed)
    again = runs._cached(job)
    assert counted["runs"] == expected
    assert (again == first) == (expected == 1)


def test_what_edited_code_gave_is_not_taken_for_the_commits(
    counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "commit", lambda: "a")
    for changed in (True, False):
        monkeypatch.setattr(runs, "is_changed", lambda changed=changed: changed)
        found = runs._cached({"name": "made_up", "kind": "made_up"})
    assert counted["runs"] == found["run"] == 2
