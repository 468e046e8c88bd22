"""The search itself: candidates drawn by Optuna, compared unrecovered, the best few taken through the whole line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from secateur.budget import Latency
from secateur.errors import BudgetError, CompressionError
from secateur.pipeline import compress
from secateur.result import Event
from secateur.searching.bench import USUAL, Bench, prepared
from secateur.searching.candidates import Style, Workshop
from secateur.searching.goal import Goal
from secateur.searching.outcome import Found, Tried
from secateur.searching.sensitivity import Watch
from secateur.task import Task

if TYPE_CHECKING:
    from secateur.searching.studies import Study

TRIALS = 32
FINALISTS = 3
APART = 1.1  # times as many multiply-adds


@dataclass(frozen=True)
class Effort:
    """How much is tried: candidates, those of them that go through the whole line, and the rows they are mended on.

    `study` is a file in which every finished candidate is kept: a stopped search goes on from it, and several
    processes, on one machine or many, share one.
    """

    trials: int = TRIALS
    finalists: int = FINALISTS
    among: tuple[str, ...] = USUAL
    rows: int | None = None
    seed: int = 0
    study: Path | None = None


def search(
    model: nn.Module,
    task: Task,
    goal: Goal,
    *,
    effort: Effort | None = None,
    style: Style | None = None,
    watch: Watch = None,
) -> Found:
    """The recipe of the best network under a goal.

    Every candidate is a method, a way to spread its cuts over the sites, and a number of layers that are collapsed
    first; it is cut, mended without training and judged by how far its outputs are from the original's. The best few
    then go through the whole line, with at most one epoch of recovery each, and the best of them on validation data is
    what is found. Every method alone, with the same share off every site, is among the candidates.

    Raises:
        BudgetError: no candidate meets the goal; the message names the nearest that does.
        SettingsError: the study is another search's.
        CompressionError: nothing can be removed, or the data is missing or NaN.
    """
    effort = effort or Effort()
    bench = prepared(model, task, among=effort.among, rows=effort.rows, watch=watch)
    return searched(Workshop(bench, style or Style()), goal, effort)


def searched(shop: Workshop, goal: Goal, effort: Effort) -> Found:
    """The recipe of the best network under a goal, of a network that is scored already.

    A workshop that was used before knows the sites' curves and the clock already: several goals cost one scoring.
    """
    bench, limit = shop.bench, goal.limit
    shop.have_clock(limit)
    tried = _explored(shop, goal, effort)
    whole = [one for one in tried if one.state == "whole"]
    if not whole:
        reasons = [one.reason for one in tried if one.reason]
        raise BudgetError(f"none of {len(tried)} candidates meets the goal: {reasons[0] if reasons else 'no trials'}")
    unused = 1 + max(one.number for one in tried)  # a killed run, or another process, may have left gaps
    finals = _finals(shop, _best(whole, goal, shop, unused), goal, max(effort.finalists, 1))
    if not finals:
        raise BudgetError(f"{goal}: none of the nearest candidates keeps to it in the whole line; allow more.")
    winner = _winner(finals, goal, bench)
    _check(winner, goal, shop)
    final = {one.number: one for one in finals}
    return Found(
        recipe=shop.recipe(winner),
        chosen=winner.number,
        tried=(*(final.pop(one.number, one) for one in tried), *final.values()),
        metric=bench.task.metric,
        quality=bench.quality,
        parameters=shop.whole.parameters,
        macs=shop.whole.macs,
        milliseconds=shop.clock.original if shop.clock and isinstance(limit, Latency) else None,
        notes=bench.notes,
    )


def study_of(shop: Workshop, goal: Goal, effort: Effort) -> "Study":
    """The study that candidates are kept in: a new one, or the one in the effort's file.

    Raises:
        CompressionError: Optuna is missing, or the file cannot be used; see `studies.opened`.
    """
    try:
        from secateur.searching.studies import opened
    except ModuleNotFoundError as error:
        remedy = "pip install 'secateur[search]', or name a method."
        raise CompressionError(f"a search needs {error.name}, which is not installed: {remedy}") from error
    return opened(shop.bench, goal, shop.style, effort.seed, effort.study)


def _explored(shop: Workshop, goal: Goal, effort: Effort) -> tuple[Tried, ...]:
    """All candidates: first every method alone, then the best of them spread by the sites' curves, then drawn ones."""
    bench = shop.bench
    study = study_of(shop, goal, effort)

    def see(number: int) -> None:
        if bench.watch:
            bench.watch(Event("search", number, effort.trials))

    study.first([{"method": name, "temper": 0.0} for name in bench.base.scores])
    study.run(shop.tried, min(len(bench.base.scores), effort.trials), see)
    best = sorted((one for one in study.tried if one.distance is not None), key=_distance)[:2]
    study.first([{"method": one.method, "own": True} for one in best])
    study.first([{"method": one.method, "temper": temper} for one in best[:1] for temper in (1.0, 0.75, 0.5)])
    study.run(shop.tried, effort.trials, see)
    return study.tried


def _distance(one: Tried) -> float:
    assert one.distance is not None
    return one.distance


def _best(whole: list[Tried], goal: Goal, shop: Workshop, unused: int) -> list[Tried]:
    """The candidates from the best on: the nearest to the original and those of the best quality, by turns; or the
    cheapest of those that lose little enough.

    Where there is no limit, the ways to cut that are nearest at half of the multiply-adds are also taken as far as they
    hold the drop.
    """
    if goal.limit is not None:
        by_quality = sorted(whole, key=lambda one: (shop.bench.drop(one.quality), _distance(one)))
        pairs = zip(sorted(whole, key=_distance), by_quality, strict=True)
        return list({one.number: one for pair in pairs for one in pair}.values())
    half = min((abs(one.macs - 0.5 * shop.whole.macs), one.macs) for one in whole)[1]
    nearest = sorted((one for one in whole if one.macs <= 1.05 * half), key=_distance)[:2]
    further = [shop.furthest(one, goal, unused + more) for more, one in enumerate(nearest)]
    holding = [one for one in (*whole, *further) if shop.bench.drop(one.quality) <= goal.drop]
    return sorted(holding, key=lambda one: one.macs) or sorted(whole, key=_distance)


def _finals(shop: Workshop, best: list[Tried], goal: Goal, most: int) -> list[Tried]:
    """The best few after the whole line, with at most one epoch of recovery.

    Where there is no limit, the first that holds the drop is the last: those behind it cost more.
    """
    bench, recovery = shop.bench, shop.style.recovery
    short = replace(recovery, epochs=1) if recovery is not None and recovery.epochs else None
    shorter = replace(shop, style=replace(shop.style, recovery=short))
    finals: list[Tried] = []
    for one in best if goal.limit is not None else _apart(best):
        if len(finals) == most:
            break
        if bench.watch:
            bench.watch(Event("finalists", len(finals), min(most, len(best))))
        after = compress(bench.base.model, bench.task, shorter.recipe(one), watch=bench.watch).final
        quality = after.quality.get(bench.task.metric)
        if after.macs > one.macs:
            continue  # a stage could not do on all rows what it did on few
        finals.append(replace(one, recovered=quality, macs=after.macs, parameters=after.parameters))
        if goal.limit is None and bench.final_drop(quality) <= goal.drop:
            break
    return finals


def _apart(best: list[Tried]) -> Iterator[Tried]:
    """Some candidates, each a good deal larger than the one before: one a little larger would do no better."""
    last = 0.0
    for one in best:
        if one.macs > APART * last:
            last = one.macs
            yield one


def _winner(finals: list[Tried], goal: Goal, bench: Bench) -> Tried:
    """The best of the finalists by quality; the cheapest that holds the drop where there is no limit.

    Raises:
        BudgetError: all lose more than they may.
    """
    if all(one.recovered is None for one in finals):
        return finals[0]
    holding = [one for one in finals if bench.final_drop(one.recovered) <= goal.drop]
    if holding and goal.limit is None:
        return min(holding, key=lambda one: one.macs)
    return max(holding or finals, key=lambda one: one.recovered if one.recovered is not None else float("-inf"))


def _check(winner: Tried, goal: Goal, shop: Workshop) -> None:
    """Refuse a winner that loses more than it may, naming what can be had."""
    drop = shop.bench.final_drop(winner.recovered)
    if drop <= goal.drop:
        return
    nearest = shop.furthest(winner, goal, winner.number)
    share = nearest.macs / shop.whole.macs
    holds = shop.bench.drop(nearest.quality) <= goal.drop and share < 1.0
    instead = f"with {share:.0%} of the multiply-adds left that much can be held; " if holds else ""
    raise BudgetError(
        f"{goal}: the best of the candidates loses {drop:.2f} points; {instead}allow more, or train longer (recovery)."
    )
