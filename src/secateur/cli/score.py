"""`secateur score`."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli.options import Choice, Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table

if TYPE_CHECKING:
    from secateur.result import Agreement

_option = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True)
class ScoreFile:
    """Where the scores go, and whether they are tried on two halves of the data."""

    out: Annotated[Path, _option(metavar="FILE", help="Where the scores are written.")] = Path("scores.json")
    stability: Annotated[
        bool, _option("--stability", help="Score two halves of the data as well, and tell what they agree on.")
    ] = False


def score(given: Given, choice: Choice, place: ScoreFile, screen: Screen) -> None:
    r"""Score every unit of a network, or every layer; higher is more important. Nothing is changed.

    Methods that look at data make one pass over the calibration data, which are the training rows where the task has no
    others. `--stability` takes one more: scores that two halves of the data do not agree on are noise. The file
    holds the sites as well, so that `secateur plan` needs neither the model nor the data.

    Example:
      secateur score --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --method dense --out scores.json
    """
    from secateur.cli import scorefile
    from secateur.cli.opening import opened
    from secateur.cli.recipes import method_of
    from secateur.finding import find_sites
    from secateur.halves import stability
    from secateur.methods import score_all
    from secateur.places import check_writable
    from secateur.stretches import find_layers

    method = method_of(choice)
    check_writable(place.out)
    with screen.progress("scoring") as bars:
        network, data = opened(given)
        network.warn(bars)
        find = find_layers if method.granularity == "layer" else find_sites
        sites = find(network.model, data.task)
        scores = score_all(network.model, sites, data.task, [method], watch=bars)[method.name]
        agreed = stability(network.model, sites, data.task, method, watch=bars) if place.stability else {}
    scorefile.write(scores, sites, place.out)
    rows = [_row(name, values, agreed.get(name)) for name, values in scores.values.items()]
    about = {"method": method.name, "sites": rows, "out": str(place.out)}
    halves = [_halves(rows)] if place.stability else []
    screen.show(about, _table(method.name, rows), *halves, lines(f"written: {place.out}", ()))


def _row(name: str, values: Any, agreed: "Agreement | None") -> dict[str, Any]:
    ordered = values.sort().values
    found = {"stability": asdict(agreed)} if agreed else {}
    return found | {
        "site": name,
        "units": len(values),
        "lowest": float(ordered[0]),
        "median": float(values.median()),
        "highest": float(ordered[-1]),
        "zeros": int((values == 0).sum()),
    }


def _table(method: str, rows: list[dict[str, Any]]) -> Any:
    from secateur.report import figures

    if all(row["units"] == 1 for row in rows):
        return table(f"Scores of {method}", ("Layer", "Score"), _ranked(rows), numeric=(1,), whole=(0,))
    numbers = ("lowest", "median", "highest")
    shown = (
        (row["site"], f"{row['units']:,}", *(figures.score(row[number]) for number in numbers), f"{row['zeros']:,}")
        for row in rows
    )
    columns = ("Site", "Units", "Lowest", "Median", "Highest", "Zeros")
    return table(f"Scores of {method}", columns, shown, numeric=range(1, 6))


def _ranked(rows: list[dict[str, Any]]) -> Any:
    """Layers with their scores, the first to go first."""
    from secateur.report import figures

    return ((row["site"], figures.score(row["lowest"])) for row in sorted(rows, key=lambda row: row["lowest"]))


def _halves(rows: list[dict[str, Any]]) -> Any:
    from secateur.report import figures

    shown = (
        (row["site"], figures.score(found["correlation"]), *(figures.percent(found[k]) for k in ("overlap", "chance")))
        for row in rows
        for found in [row["stability"]]
    )
    columns = ("Site", "Rank correlation", "Kept by both", "By chance")
    return table("Two halves of the data, when half of the units go", columns, shown, numeric=range(1, 4))
