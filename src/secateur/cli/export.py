"""`secateur export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines

_ENDINGS = (".onnx", ".pt2")


@dataclass(frozen=True)
class Exporting:
    """Where the exported network goes."""

    out: Annotated[Path, typer.Option(metavar="FILE", help="NAME.onnx for ONNX, NAME.pt2 for a torch.export program.")]


def export(given: Given, exporting: Exporting, screen: Screen) -> None:
    r"""Write a network for other engines, and compare what it puts out there with PyTorch.

    The file takes batches of any size, and texts of any length where the model does. It is run on calibration rows
    before it is kept (ONNX by onnxruntime), and refused where it differs by more than 1e-4 of the largest output. ONNX
    needs the extra `secateur\[onnx]`.

    Example:
      secateur export --weights small.safetensors --data sklearn:digits \
        --out small.onnx
    """
    from secateur.cli.opening import examined
    from secateur.errors import FileError
    from secateur.export import export_onnx, export_program
    from secateur.places import check_writable
    from secateur.report import figures

    ending = exporting.out.suffix.lower()
    if ending not in _ENDINGS:
        raise FileError(f"{exporting.out}: {ending or 'no ending'} is not a known kind; write {' or '.join(_ENDINGS)}.")
    check_writable(exporting.out)
    with screen.progress("exporting") as bars:
        network, data = examined(given)
        network.warn(bars)
        write = export_onnx if ending == ".onnx" else export_program
        difference = write(network.model, exporting.out, data.task)
    size = exporting.out.stat().st_size
    about = {"out": str(exporting.out), "max_difference": difference, "size_bytes": size}
    compared = f"largest difference from PyTorch: {difference:.1e}"
    screen.show(about, lines(f"written: {exporting.out} ({figures.size(size)})", [compared]))
