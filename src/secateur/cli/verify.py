"""`secateur verify`."""

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines


@dataclass(frozen=True)
class Verifying:
    """The cut network."""

    cut: Annotated[
        str,
        typer.Option(
            metavar="FILE|ADDRESS",
            help="A .safetensors file with its plan, or the address of a model, whatever tool cut it.",
        ),
    ]


def verify(given: Given, verifying: Verifying, screen: Screen) -> None:
    r"""Check a cut network against its original, and measure both in turns.

    A file of secateur goes through three checks. The plan in it, applied to the original anew, equals silencing the
    removed units, output for output. Every tensor in the file has the shape that the plan leaves. And the file's
    weights put into the network that was cut anew give the same outputs, bit for bit, as the network that loading the
    file gives. What training and compensation did to the weights is measured, not proven: costs and quality of both
    stand side by side.

    A model at an address (FILE.py:FUNCTION, hf:DIR, …) may be cut by any tool: which units stayed is told from slices
    of its tensors that are equal to the original's, and its outputs are compared with those of the original whose other
    units are silenced. Where that cannot be told, or weights have changed besides, it says so. A cut that changed
    nothing else and yet differs is refused.

    Example:
      secateur verify --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --cut small.safetensors
    """
    from secateur.cli.checking import checked, measured_in_turns
    from secateur.cli.comparing import compared
    from secateur.cli.opening import examined
    from secateur.errors import ExactnessError

    with screen.progress("reading") as bars:
        original, data = examined(given)
        original.warn(bars)
        bars.doing("cutting anew")
        found = checked(verifying.cut, original, given, data)
        bars.doing("measuring")
        before, after = measured_in_turns((original.model, found.model), data.task)
    screen.show(
        {**found.about, "original": asdict(before), "cut": asdict(after)},
        lines(f"{verifying.cut}: {found.verdict}", found.checks),
        compared("Original and cut network", before, after),
    )
    if found.is_wrong:
        raise ExactnessError(f"{verifying.cut}: {found.verdict}; {found.checks[-1]}")
