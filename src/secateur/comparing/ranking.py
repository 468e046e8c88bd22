"""Trials ranked: means over seeds, the best under each budget, and whether it leads the next by more than chance.

The test is Student's, on the differences of the two over the seeds that both have. Where nothing is random in one of
the two, its figure is the same for every seed.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.special import stdtr

from secateur.comparison import Ranking, Spread, Standing, Trial
from secateur.report import figures
from secateur.report.compared.words import in_short
from secateur.result import Measurement

CHANCE = 0.05  # below it a difference is called one

BySeed = Mapping[int | None, float]


def ranked(trials: Sequence[Trial], decisive: str) -> tuple[Ranking, ...]:
    """A ranking for every budget, in the order of the trials; the figure `decisive` decides, then the fewer MACs."""
    budgets = dict.fromkeys(trial.cell.budget for trial in trials)
    return tuple(_ranking(budget, trials, decisive) for budget in budgets)


def chance_of(differences: Sequence[float]) -> float:
    """How likely differences as large, or larger, are where there is none: two-sided, by Student's t of their mean.

    Where all of them are equal and not zero, it is how likely all of that many have one sign.
    """
    count, mean = len(differences), statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    if error <= 1e-12 * abs(mean):
        return 1.0 if mean == 0 else 2.0 ** (1 - count)
    return float(2.0 * stdtr(count - 1, -abs(mean) / error))


def _ranking(budget: str, trials: Sequence[Trial], decisive: str) -> Ranking:
    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, trial in enumerate(trials):
        if trial.cell.budget == budget:
            cell = trial.cell
            groups.setdefault((cell.method, cell.compensate, cell.epochs), []).append(place)
    found = [_standing(*done, [trials[place] for place in places], places) for done, places in groups.items()]
    found.sort(key=lambda one: (not one.quality, -one.quality[decisive].mean, one.macs) if one.quality else (True,))
    finished = [one for one in found if one.quality]
    if len(finished) < 2:
        return Ranking(budget, tuple(found), "nothing to compare it with" if finished else "none of them finished")
    first, second = finished[:2]
    values = [_by_seed([trials[place] for place in one.trials], decisive) for one in (first, second)]
    verdict, chance = _verdict(*values, names=(_done(first), _done(second)))
    return Ranking(budget, tuple(found), verdict, chance, is_ahead=chance is not None and chance < CHANCE)


def _standing(method: str, how: str, epochs: int, trials: list[Trial], places: list[int]) -> Standing:
    finished = [trial for trial in trials if not trial.failure]
    failures = len(trials) - len(finished)
    if not finished:
        return Standing(method, how, epochs, tuple(places), failures)
    ends: list[Measurement] = [trial.final for trial in finished]
    times = [trial.timings[0].share for trial in finished if trial.timings]
    return Standing(
        method=method,
        compensate=how,
        epochs=epochs,
        trials=tuple(places),
        failures=failures,
        quality={name: _spread([end.quality[name] for end in ends]) for name in ends[0].quality},
        parameters=statistics.fmean(end.parameters for end in ends),
        macs=statistics.fmean(end.macs for end in ends),
        latency=statistics.fmean(times) if times else None,
    )


def _spread(values: list[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def _by_seed(trials: list[Trial], decisive: str) -> BySeed:
    return {trial.cell.seed: trial.final.quality[decisive] for trial in trials if not trial.failure}


def _verdict(first: BySeed, second: BySeed, *, names: tuple[str, str]) -> tuple[str, float | None]:
    """Whether the first is ahead of the second, in words; and by which chance that would be so without a reason."""
    lead = statistics.fmean(first.values()) - statistics.fmean(second.values())
    if lead == 0:
        return f"{names[0]} and {names[1]} are level", None
    found = f"{names[0]} is ahead of {names[1]} by {figures.three(lead)} points"
    differences = _differences(first, second)
    if len(differences) < 2:
        seeds = "nothing is random in either" if first.keys() == second.keys() == {None} else "1 seed"
        return f"{found} ({seeds}: no test)", None
    chance = chance_of(differences)
    ending = "" if chance < CHANCE else ", which may be chance"
    return f"{found}{ending} (p = {figures.three(chance)}, paired over {len(differences)} seeds)", chance


def _differences(first: BySeed, second: BySeed) -> list[float]:
    """The differences over the seeds of both; what is not random is the same for every seed."""
    if None in first:
        return [first[None] - value for seed, value in second.items() if seed is not None]
    if None in second:
        return [value - second[None] for value in first.values()]
    return [value - second[seed] for seed, value in first.items() if seed in second]


def _done(one: Standing) -> str:
    return in_short(one.method, one.compensate, one.epochs)
