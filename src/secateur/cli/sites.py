"""`secateur sites`: what can go, what cannot, and why."""

from dataclasses import asdict, dataclass
from typing import Any

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table


def sites(given: Given, screen: Screen) -> None:
    """What can be removed from a network, what cannot, and which operator holds it. Nothing is changed.

    A site is a set of units (neurons, channels) that can go one by one; what makes, carries and reads a unit goes with
    it. "Parameters" counts all that would go with the site's units, "per unit" what goes with one. A site keeps at
    least one unit, or none where a path around it remains; "4 × 8" are 4 blocks of 8 units, such as heads, each of
    which loses as many. Weights do not matter here, so --weights may be left out.

    Example:
      secateur sites --model "zoo:mlp?hidden=64,64&skip=1" --data sklearn:digits
    """
    from secateur.budget import cost
    from secateur.cli.opening import examined
    from secateur.finding import find_sites

    with screen.progress("tracing the network"):
        network, data = examined(given)
        found = find_sites(network.model, data.task)
    whole = cost(found, {})
    every = {site.name: range(site.units) for site in found}
    free = whole.parameters - cost(found, every).parameters
    rows = [
        {
            "name": site.name,
            "units": site.units,
            "blocks": site.blocks,
            "twins": list(site.twins),
            "parameters": whole.parameters - cost(found, {site.name: every[site.name]}).parameters,
            "parameters_per_unit": whole.parameters - cost(found, {site.name: [0]}).parameters,
            "droppable": site.droppable,
            "made_by": [axis.tensor for axis in site.made_by],
            "read_by": [axis.tensor for axis in site.read_by],
        }
        for site in found
    ]
    pinned = [asdict(pin) for pin in found.pinned]
    figures = {"parameters": whole.parameters, "removable_parameters": free, "macs": whole.macs}
    screen.show({"sites": rows, "pinned": pinned, **figures}, *_tables(rows, pinned, _Cover(free, whole.parameters)))


SHOWN = 2  # layers by name in a cell; --json has all


@dataclass(frozen=True)
class _Cover:
    """Parameters that can go, of all."""

    free: int
    all: int


def _tables(rows: list[dict[str, Any]], pinned: list[dict[str, Any]], cover: _Cover) -> list[Any]:
    from secateur.report import figures

    can = (
        (
            row["name"],
            f"{row['units']:,}" if row["blocks"] == 1 else f"{row['blocks']} × {row['units'] // row['blocks']}",
            "0" if row["droppable"] else f"{row['blocks']}",
            f"{row['parameters_per_unit']:,}",
            f"{row['parameters']:,}",
            _layers(row["made_by"]),
            _layers(row["read_by"]),
        )
        for row in rows
    )
    columns = ("Site", "Units", "Keeps", "Per unit", "Parameters", "Made by", "Read by")
    cannot = ((pin["name"], f"{pin['units']:,}", pin["operator"], pin["reason"]) for pin in pinned)
    share = figures.percent(cover.free / cover.all) if cover.all else figures.NOTHING
    return [
        table("What can go", columns, can, numeric=(1, 2, 3, 4)),
        table("What stays", ("Where", "Units", "Held by", "Why"), cannot, numeric=(1,)),
        lines(f"{cover.free:,} of {cover.all:,} parameters ({share}) belong to units that can go.", ()),
    ]


def _layers(tensors: list[str]) -> str:
    names = list(dict.fromkeys(tensor.removesuffix(".weight") for tensor in tensors))
    return "\n".join([*names[:SHOWN], *([f"+ {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])
