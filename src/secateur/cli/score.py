"""`secateur score`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli.options import Choice, Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table

_option = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True)
class ScoreFile:
    """Where the scores go."""

    out: Annotated[Path, _option(metavar="FILE", help="Where the scores are written.")] = Path("scores.json")


def score(given: Given, choice: Choice, place: ScoreFile, screen: Screen) -> None:
    r"""Score every unit of a network; higher is more important. Nothing is changed.

    Methods that look at data make one pass over the calibration data, which are the training rows where the task has no
    others. The file holds the sites as well, so that `secateur plan` needs neither the model nor the data.

    Example:
      secateur score --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --method dense --out scores.json
    """
    from secateur.cli import scorefile
    from secateur.cli.opening import opened
    from secateur.cli.places import check_writable
    from secateur.cli.recipes import method_of
    from secateur.finding import find_sites
    from secateur.methods import score_all

    method = method_of(choice)
    check_writable(place.out)
    with screen.progress("scoring") as bars:
        network, data = opened(given)
        network.warn(bars)
        sites = find_sites(network.model, data.task)
        scores = score_all(network.model, sites, data.task, [method], watch=bars)[method.name]
    scorefile.write(scores, sites, place.out)
    rows = [_row(name, values) for name, values in scores.values.items()]
    about = {"method": method.name, "sites": rows, "out": str(place.out)}
    screen.show(about, _table(method.name, rows), lines(f"written: {place.out}", ()))


def _row(name: str, values: Any) -> dict[str, Any]:
    ordered = values.sort().values
    return {
        "site": name,
        "units": len(values),
        "lowest": float(ordered[0]),
        "median": float(values.median()),
        "highest": float(ordered[-1]),
        "zeros": int((values == 0).sum()),
    }


def _table(method: str, rows: list[dict[str, Any]]) -> Any:
    from secateur.report import figures

    numbers = ("lowest", "median", "highest")
    shown = (
        (row["site"], f"{row['units']:,}", *(figures.score(row[number]) for number in numbers), f"{row['zeros']:,}")
        for row in rows
    )
    columns = ("Site", "Units", "Lowest", "Median", "Highest", "Zeros")
    return table(f"Scores of {method}", columns, shown, numeric=range(1, 6))
