"""`secateur measure`."""

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen


@dataclass(frozen=True)
class Measuring:
    """What is measured."""

    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="The data for the quality: train, validation or test.")
    ] = "validation"
    latency: Annotated[bool, typer.Option(help="Time calls with 1 row and with 32, on one thread.")] = True


def measure(given: Given, measuring: Measuring, screen: Screen) -> None:
    r"""What a network costs and how well it does: parameters, multiply-adds, size, latency, quality.

    Quality is in points: accuracy in percent, or 100 · R². Multiply-adds (MACs) are of one row, each counted once.
    Activations are the most memory that the values of one row take at once, weights left out.
    Latency is the median over repeated calls, ± half the interquartile range. Look at the test data once, at the end.

    Example:
      secateur measure --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights small.safetensors --split test
    """
    from secateur import measurement
    from secateur.cli.comparing import measured
    from secateur.cli.opening import opened

    with screen.progress("measuring") as bars:
        network, data = opened(given)
        network.warn(bars)
        found = measurement.measure(network.model, data.task, split=measuring.split, latency=measuring.latency)  # type: ignore[arg-type]
    if not found.quality:
        screen.say(f"note: there are no {measuring.split} data, so the quality was not measured.")
    screen.show(asdict(found), measured(data.name, found, measuring.split))
