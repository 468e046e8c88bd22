"""Budgets of latency on the command line."""

from pathlib import Path

import pytest

import commands
from commands import DATA, MINE, MODEL


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and a cache of its own; no long look at the clock."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("secateur.measurement.latency._SECONDS", 0.01)
    Path("mine.py").write_text(MINE, encoding="utf-8")
    return tmp_path


def test_a_plan_for_a_latency_needs_the_model() -> None:
    commands.done("score", *MODEL, *DATA, "--method", "magnitude")
    assert "no model is given" in commands.refusal("plan", "scores.json", "--latency", "1000ms")
    found = commands.data("plan", "scores.json", "--latency", "1000ms", *MODEL, *DATA)
    assert all(row["removed"] == 0 for row in found["sites"])
    assert list(Path("cache/secateur/times").glob("cpu-1-*.json"))


def test_what_cannot_be_reached_is_refused_with_the_nearest_that_can() -> None:
    commands.done("score", *MODEL, *DATA, "--method", "magnitude")
    outcome = commands.run("plan", "scores.json", "--latency", "0.01x", *MODEL, *DATA)
    assert outcome.exit_code == 1
    assert "cannot be reached" in outcome.stderr and "are predicted when" in outcome.stderr


def test_other_texts_and_options_without_it_are_refused() -> None:
    line = commands.refusal("compress", *MODEL, *DATA, "--latency", "fast", "--out", "runs")
    assert line.startswith("--latency: 'fast' is not a latency")
    outcome = commands.run("compress", *MODEL, *DATA, "--remove", "40%", "--latency-rows", 4, "--out", "runs")
    assert outcome.exit_code == 2
    assert "--latency-rows" in outcome.stderr and "--latency" in outcome.stderr
