"""`secateur layers`: which layers can go, and what each would cost instead."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table
from secateur.sites import Sites, Stretch

if TYPE_CHECKING:
    from secateur.pricing import Price


@dataclass(frozen=True)
class Pricing:
    """What each candidate would save."""

    become: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="Also the cost without each: collapse, drop, affine, identity or on_off."),
    ] = None
    latency: Annotated[
        bool, typer.Option("--latency", help="Time each beside the original, in about a second. Implies collapse.")
    ] = False
    rows: Annotated[int, typer.Option(help="Rows in a timed call.")] = 1
    threads: Annotated[int, typer.Option(help="Torch threads of a timed call.")] = 1


def layers(given: Given, pricing: Pricing, screen: Screen) -> None:
    r"""Which layers can go: every activation, and every stretch that one operator can stand for. Nothing is changed.

    An activation can be made linear; that alone saves nothing, until the layers around it are merged. A stretch (a
    residual block, an MLP, two layers and the activation between them) can become one fitted convolution or linear
    layer; multiply-adds (MACs) are of one row, before and after. With --become or --latency, the whole network is built
    without each candidate in turn, folded, counted and timed, before anything is fitted or trained. Weights do not
    matter here, so --weights may be left out.

    Example:
      secateur layers --model "zoo:mlp?hidden=64,64" --data sklearn:digits
      secateur layers --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --become collapse --latency --rows 32
    """
    from secateur.cli.opening import examined
    from secateur.pricing import Timing, price_layers
    from secateur.stretches import find_layers

    prices: tuple[Price, ...] = ()
    with screen.progress("tracing the network") as bars:
        network, data = examined(given)
        found = find_layers(network.model, data.task)
        if pricing.become or pricing.latency:
            timing = Timing(pricing.rows, pricing.threads) if pricing.latency else None
            form: Any = pricing.become or "collapse"
            prices = price_layers(network.model, data.task, become=form, timing=timing, watch=bars)
    about = {
        "activations": [asdict(activation) for activation in found.activations],
        "stretches": [asdict(stretch) for stretch in found.stretches],
        "macs": found.macs,
        "prices": [asdict(price) for price in prices],
    }
    screen.show(about, *_tables(found), *_priced(prices))


def _tables(found: Sites) -> list[Any]:
    """The activations, and the stretches, if there are any."""
    within = {name: stretch.name for stretch in found.stretches for name in stretch.activations}
    activations = (
        (each.name, each.operator, f"{each.units:,}", each.norm or "–", within.get(each.name, "–"))
        for each in found.activations
    )
    columns = ("Activation", "Operator", "Units", "Batch-norm before", "In stretch")
    shown = [table("Activations", columns, activations, numeric=(2,))]
    if not found.stretches:
        return [*shown, lines("No layers after one another could become one.", ())]
    saved = sum(max(stretch.macs - stretch.macs_after, 0) for stretch in found.stretches)
    share = f"{saved:,} of {found.macs:,} multiply-adds ({100 * saved / max(found.macs, 1):.0f} %)"
    stretches = (_row(stretch, found.macs) for stretch in found.stretches)
    head = ("Stretch", "Becomes", "MACs", "After", "Change of all")
    return [
        *shown,
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


def _priced(prices: "tuple[Price, ...]") -> list[Any]:
    """What the network costs without each candidate, all that can be folded."""
    if not prices:
        return []
    is_timed = any(price.latency for price in prices)
    columns = ("Without", "Activations", "Layers", "Parameters", "MACs", *(("ms", "Faster") if is_timed else ()))
    rows = [_price(price) for price in prices if not price.refused]
    whole = prices[0].before
    title = f"The network as {prices[0].become}, each alone: of {whole.layers} layers, {whole.macs:,} MACs"
    refused = [f"{price.name}: {price.refused}" for price in prices if price.refused]
    shown = [table(title, columns, rows, numeric=range(1, len(columns)))]
    return shown + ([lines("Cannot go so", refused)] if refused else [])


def _price(price: "Price") -> tuple[str, ...]:
    from secateur.report import figures

    before, after = price.before, price.after
    row = (
        price.name,
        f"−{price.activations}",
        f"−{before.layers - after.layers}",
        figures.change(before.parameters, after.parameters),
        figures.change(before.macs, after.macs),
    )
    if price.latency is None:
        return row
    first, second = (each.median_ms for each in price.latency)
    return (*row, f"{first:.2f} → {second:.2f}", f"{first / second:.2f} ×")
