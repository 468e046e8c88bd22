"""`secateur plan`."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import alike
from secateur.cli.options import Amount, Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table

if TYPE_CHECKING:
    from secateur.budget import Budget, Latency
    from secateur.scores import Scores
    from secateur.sites import Sites
    from secateur.timing import Clock

_option = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True)
class Planning:
    """The scores, and where the plan goes."""

    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="A file that `secateur score` wrote.")]
    protect: Annotated[list[str], alike.protect()] = field(default_factory=list)
    multiple_of: Annotated[int, alike.multiple_of()] = 1
    become: Annotated[str | None, alike.become()] = None
    out: Annotated[Path, _option(metavar="FILE", help="Where the plan is written.")] = Path("plan.json")


def plan(planning: Planning, amount: Amount, given: Given, screen: Screen) -> None:
    r"""Choose which units or layers go: the lowest scores, as many as the budget asks for.

    --remove, --count and --below say what goes, --params and --macs what may be left, --latency how long a call may
    take: for it, give --model and what `secateur score` was given. A share is rounded to the nearest
    unit, and every site keeps one. The plan says of every unit why it goes: its score, its rank, and the threshold.
    Neither model nor data are needed but for --latency.

    Scores of layers need --remove, --count, --below or, with collapse and drop, --macs. Such a plan says which layers
    go and what they become; `secateur apply` fits that to data.

    Example:
      secateur score --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --out scores.json
      secateur plan scores.json --remove 40% --out plan.json
    """
    from secateur.budget import Latency, cost, select
    from secateur.cli import scorefile
    from secateur.cli.recipes import budget_from
    from secateur.errors import SettingsError
    from secateur.places import check_writable, write_text
    from secateur.plan import to_json

    budget = budget_from(amount)
    if budget is None:
        raise typer.BadParameter("give one budget: --remove, --count, --below, --params, --macs or --latency.")
    scores, sites = scorefile.read(planning.scores)
    check_writable(planning.out)
    if sites.activations:
        _plan_layers(scores, sites, budget, planning, screen)
        return
    if planning.become is not None:
        raise SettingsError(f"--become is {planning.become!r}, but {scores.method} removes units; leave it out.")
    clock = _clock(budget, given, screen) if isinstance(budget, Latency) else None
    made = select(scores, sites, budget, protect=planning.protect, multiple_of=planning.multiple_of, clock=clock)
    write_text(planning.out, to_json(made))
    if not made.removed:
        screen.say("the plan removes nothing; raise the budget.")
    before, after = cost(sites, {}), cost(sites, made.removed)
    thresholds = {edit.site: edit.threshold for edit in made.edits}
    rows = [
        {
            "site": site.name,
            "units": site.units,
            "removed": len(made.removed.get(site.name, ())),
            "threshold": thresholds.get(site.name),
        }
        for site in sites
    ]
    costs = {
        "parameters": [before.parameters, after.parameters],
        "macs": [before.macs, after.macs],
    }
    about = {"method": made.method, "sites": rows, **costs, "out": str(planning.out)}
    screen.show(about, *_tables(about))


def _plan_layers(scores: "Scores", sites: "Sites", budget: "Budget", planning: Planning, screen: Screen) -> None:
    """Write the plan of layers."""
    from secateur.cli.layerplan import planned
    from secateur.errors import SettingsError
    from secateur.places import write_text
    from secateur.plan import to_json

    if planning.multiple_of > 1:
        raise SettingsError(f"{scores.method} removes layers: --multiple-of is for units; leave it out.")
    made = planned(scores, sites, budget, planning.become, planning.protect)
    write_text(planning.out, to_json(made.plan))
    if not made.plan.layers:
        screen.say("the plan removes nothing; raise the budget.")
    screen.show({**made.about, "out": str(planning.out)}, *made.shown, lines(f"written: {planning.out}", ()))


def _clock(budget: "Latency", given: Given, screen: Screen) -> "Clock":
    """The clock of the model that the scores are of."""
    from secateur.cli.opening import examined
    from secateur.timing import clock_for

    with screen.progress("timing operators") as bars:
        network, data = examined(given)
        network.warn(bars)
        return clock_for(network.model, data.task, budget.batch_size, budget.threads)


def _tables(about: dict[str, Any]) -> list[Any]:
    from secateur.report import figures

    rows = (
        (
            row["site"],
            f"{row['units']:,}",
            f"{row['removed']:,}",
            f"{row['units'] - row['removed']:,}",
            figures.score(row["threshold"]),
        )
        for row in about["sites"]
    )
    columns = ("Site", "Units", "Go", "Stay", "Highest score that goes")
    costs = (
        f"{name}: {before:,} → {after:,} ({figures.change(before, after)})"
        for name, (before, after) in (("parameters", about["parameters"]), ("MACs", about["macs"]))
    )
    return [
        table(f"Plan by {about['method']}", columns, rows, numeric=range(1, 5)),
        lines(f"written: {about['out']}", costs),
    ]
