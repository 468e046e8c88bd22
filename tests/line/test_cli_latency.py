"""Budgets of latency on the command line."""

from pathlib import Path

import pytest

import commands
from commands import DATA, MODEL

pytestmark = pytest.mark.usefixtures("folder", "quick")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
