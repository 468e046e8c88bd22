"""`make fuzz N=2000`: random networks, random cuts, and whatever does not hold."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fuzz.checks import Outcome
from fuzz.networks import network_of, recipe_from
from fuzz.running import Failure, all_tried, reduced, tried

CONSOLE = Console(highlight=False, soft_wrap=True)

EVERY = 50  # networks to a line where there is no bar


def main(arguments: Sequence[str]) -> int:
    """Try networks and say what does not hold; 1 if anything does not."""
    asked = _asked(arguments)
    if asked.network:
        outcomes = [tried(recipe_from(asked.network))]
    else:
        outcomes = _watched(range(asked.seed, asked.seed + asked.count), asked.jobs)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    for failure in failures[: asked.reduce]:
        _say(failure)
    for failure in failures[asked.reduce :]:
        CONSOLE.print(f"{failure.recipe}\n  {failure.what[:300]}")
    _sum_up([outcome for outcome in outcomes if isinstance(outcome, Outcome)], failures)
    return 1 if failures else 0


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("-n", "--count", type=int, default=100, help="how many networks")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow it")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--reduce", type=int, default=5, help="how many failures to shorten before they are printed")
    parser.add_argument("--network", default="", help="one network and cut, as a failure prints it")
    return parser.parse_args(arguments)


def _watched(seeds: range, jobs: int) -> list[Outcome | Failure]:
    """All outcomes, with a bar while they come in."""
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")]
    outcomes: list[Outcome | Failure] = []
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=CONSOLE) as progress:
        task = progress.add_task("networks", total=len(seeds), rate="")
        for outcome in all_tried(seeds, jobs):
            outcomes.append(outcome)
            if isinstance(outcome, Failure):
                progress.console.print(f"{outcome.recipe}: {outcome.what[:200]}")
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed or 0.0
            failed = sum(isinstance(other, Failure) for other in outcomes)
            progress.update(task, advance=1, rate=f"{speed:.1f}/s, {failed} failed")
            if not CONSOLE.is_terminal and len(outcomes) % EVERY == 0:  # no bar is drawn in a file
                CONSOLE.print(f"{len(outcomes)} of {len(seeds)} networks, {speed:.1f}/s, {failed} failed")
    return outcomes


def _say(failure: Failure) -> None:
    """A failure, shortened: how to see it again, the network, what was removed."""
    short = reduced(failure)
    CONSOLE.rule()
    CONSOLE.print(f"seed {failure.recipe.seed}: {short.what}")
    CONSOLE.print(f'again: PYTHONPATH=tests python -m fuzz --network "{short.recipe}"')
    CONSOLE.print(f"first found as: {failure.recipe}")
    CONSOLE.print(repr(network_of(short.recipe)))
    CONSOLE.print(f"removed: {short.removed}")


def _sum_up(outcomes: Sequence[Outcome], failures: Sequence[Failure]) -> None:
    """Whether the run could have seen anything: how much went, whether it changed outputs, what was pinned."""
    if outcomes:
        cut = [outcome for outcome in outcomes if outcome.removed]
        unseen = sum(not outcome.is_seen for outcome in cut)
        share = fmean(outcome.share for outcome in outcomes)
        CONSOLE.print(
            f"{len(cut)} of {len(outcomes)} networks cut, {unseen} of them without a change in output; "
            f"{share:.0%} of the parameters can go on average"
        )
        pins = Counter(operator for outcome in outcomes for operator in outcome.pinned_by)
        CONSOLE.print("pinned by: " + ", ".join(f"{name} {count}" for name, count in pins.most_common()))
    for kind, count in Counter(failure.kind for failure in failures).most_common():
        CONSOLE.print(f"{count} times {kind}")
    CONSOLE.print(f"{len(failures)} of {len(outcomes) + len(failures)} networks failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
