"""`secateur verify`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines


@dataclass(frozen=True)
class Verifying:
    """The cut network."""

    cut: Annotated[Path, typer.Option(metavar="FILE", help="A cut network: a .safetensors file with its plan.")]


def verify(given: Given, verifying: Verifying, screen: Screen) -> None:
    r"""Check a cut network in a file against its original.

    Three checks. The plan in the file, applied to the original anew, equals silencing the removed units, output for
    output. Every tensor in the file has the shape that the plan leaves. And the file's weights put into the network
    that was cut anew give the same outputs, bit for bit, as the network that loading the file gives. What training and
    compensation did to the weights is measured, not proven: costs and quality of both stand side by side.

    Example:
      secateur verify --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --cut small.safetensors
    """
    from secateur import storage
    from secateur.cli.checking import check_outputs, check_shapes, measured_in_turns
    from secateur.cli.comparing import compared, proven
    from secateur.cli.opening import network, opened
    from secateur.errors import FileError
    from secateur.surgery import certified

    with screen.progress("reading") as bars:
        original, data = opened(given)
        original.warn(bars)
        plan = storage.read_plan(verifying.cut)
        if plan is None or not plan.removed:
            raise FileError(f"{verifying.cut}: removes nothing by its plan; give a file that apply or compress wrote.")
        bars.doing("cutting anew")
        again, plan = certified(original.model, plan, data.task)
        loaded = network(given, data, verifying.cut).model
        tensors = check_shapes(loaded, again, verifying.cut)
        check_outputs(loaded, again, data.task, verifying.cut)
        bars.doing("measuring")
        before, after = measured_in_turns((original.model, loaded), data.task)
    assert plan.certificate is not None  # certified gives one
    units = sum(len(gone) for gone in plan.removed.values())
    about = {"certificate": asdict(plan.certificate), "units_removed": units, "tensors": tensors}
    checks = [
        proven([plan.certificate]),
        f"{tensors} tensors have the shapes that the plan leaves ({units} units removed)",
        "the file's weights in the network cut anew give the same outputs, bit for bit",
    ]
    screen.show(
        {**about, "original": asdict(before), "cut": asdict(after)},
        lines(f"{verifying.cut}: verified", checks),
        compared("Original and cut network", before, after),
    )
