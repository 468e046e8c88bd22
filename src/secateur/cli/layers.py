"""`secateur layers`: which layers can go, and what each would cost instead."""

from dataclasses import asdict
from typing import Any

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table
from secateur.sites import Sites, Stretch


def layers(given: Given, screen: Screen) -> None:
    """Which layers can go: every activation, and every stretch that one operator can stand for. Nothing is changed.

    An activation can be made linear; that alone saves nothing, until the layers around it are merged. A stretch (a
    residual block, an MLP, two layers and the activation between them) can become one fitted convolution or linear
    layer; multiply-adds (MACs) are of one row, before and after. Weights do not matter here, so --weights may be left
    out.

    Example:
      secateur layers --model "zoo:mlp?hidden=64,64" --data sklearn:digits
    """
    from secateur.cli.opening import examined
    from secateur.stretches import find_layers

    with screen.progress("tracing the network"):
        network, data = examined(given)
        found = find_layers(network.model, data.task)
    about = {
        "activations": [asdict(activation) for activation in found.activations],
        "stretches": [asdict(stretch) for stretch in found.stretches],
        "macs": found.macs,
    }
    screen.show(about, *_tables(found))


def _tables(found: Sites) -> list[Any]:
    within = {name: stretch.name for stretch in found.stretches for name in stretch.activations}
    activations = (
        (each.name, each.operator, f"{each.units:,}", each.norm or "–", within.get(each.name, "–"))
        for each in found.activations
    )
    columns = ("Activation", "Operator", "Units", "Batch-norm before", "In stretch")
    saved = sum(max(stretch.macs - stretch.macs_after, 0) for stretch in found.stretches)
    share = f"{saved:,} of {found.macs:,} multiply-adds ({100 * saved / max(found.macs, 1):.0f} %)"
    stretches = (_row(stretch, found.macs) for stretch in found.stretches)
    head = ("Stretch", "Becomes", "MACs", "After", "Change of all")
    return [
        table("Activations", columns, activations, numeric=(2,)),
        table("Stretches", head, stretches, numeric=(2, 3, 4)),
        lines(f"{share} would go with all stretches that become cheaper.", ()),
    ]


def _row(stretch: Stretch, whole: int) -> tuple[str, ...]:
    kernel = "×".join(map(str, stretch.kernel)) + " convolution" if stretch.kernel else "linear layer"
    form = f"{kernel} {stretch.inputs:,} → {stretch.outputs:,}"
    change = (stretch.macs_after - stretch.macs) / max(whole, 1)
    return (
        stretch.name,
        form,
        f"{stretch.macs:,}",
        f"{stretch.macs_after:,}",
        f"{100 * change:+.1f} %".replace("-", "−"),
    )
