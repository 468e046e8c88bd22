"""Comparing methods: who is said to be ahead, and whether that may be chance."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from secateur.comparing.ranking import chance_of, ranked
from secateur.comparison import Cell, Trial
from secateur.result import Measurement, Step


def samples() -> Iterator[list[float]]:
    chance = np.random.default_rng(5)
    for size in (2, 3, 5, 20):
        yield list(chance.normal(0.4, 1.0, size))


@pytest.mark.parametrize("differences", list(samples()))
def test_the_chance_of_a_lead_is_that_of_the_paired_t_test(differences: list[float]) -> None:
    others = np.linspace(90, 95, len(differences))

    assert chance_of(differences) == pytest.approx(stats.ttest_rel(others + differences, others).pvalue, rel=1e-6)


def test_differences_that_are_all_alike_are_judged_by_their_sign() -> None:
    assert chance_of([0.0, 0.0, 0.0]) == 1.0
    assert chance_of([0.5, 0.5, 0.5]) == pytest.approx(stats.binomtest(3, 3).pvalue)


def trial(method: str, quality: float, seed: int | None = None, macs: int = 100) -> Trial:
    measured = Measurement(50, macs, 200, quality={"accuracy": quality})
    return Trial(Cell(method, "half", "none", 0, seed), steps=(Step("cut", 1, measured),))


def test_the_best_is_the_highest_mean_and_of_equals_the_cheapest() -> None:
    (found,) = ranked([trial("a", 90.0), trial("b", 92.0, macs=90), trial("c", 92.0, macs=80)], "accuracy")

    assert [one.method for one in found.standings] == ["c", "b", "a"]
    assert found.verdict == "c and b are level" and found.p is None


def test_one_seed_is_no_test() -> None:
    (found,) = ranked([trial("a", 90.0), trial("b", 92.0)], "accuracy")
    (seeded,) = ranked([trial("a", 90.0, 0), trial("b", 92.0, 0)], "accuracy")

    assert found.verdict == "b is ahead of a by 2.00 points (nothing is random in either: no test)"
    assert seeded.verdict == "b is ahead of a by 2.00 points (1 seed: no test)"
    assert found.p is None and not found.is_ahead


def test_what_is_not_random_is_the_same_for_every_seed() -> None:
    values = (91.0, 91.4, 91.1)
    (found,) = ranked([trial("a", 90.0), *(trial("b", value, seed) for seed, value in enumerate(values))], "accuracy")

    assert found.p == pytest.approx(stats.ttest_1samp(values, 90.0).pvalue)
    assert found.is_ahead and "p = " in found.verdict and "may be chance" not in found.verdict


def test_seeds_that_one_of_two_lacks_are_left_out_of_the_test() -> None:
    first = [trial("a", value, seed) for seed, value in enumerate((92.0, 91.0, 92.0))]
    second = [trial("b", value, seed) for seed, value in enumerate((90.0, 90.5, 10.0))]
    second[2] = replace(second[2], failure="diverged", steps=())
    (found,) = ranked(first + second, "accuracy")

    assert found.p == pytest.approx(stats.ttest_rel((92.0, 91.0), (90.0, 90.5)).pvalue)
    assert "may be chance" in found.verdict and found.standings[1].failures == 1
