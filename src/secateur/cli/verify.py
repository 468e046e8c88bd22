"""`secateur verify`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines

if TYPE_CHECKING:
    from torch import nn

    from secateur.task import Task


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
      secateur verify --model "zoo:mlp?hidden=64,64" --weights trained.safetensors \
        --cut small.safetensors --data sklearn:digits
    """
    from secateur import storage
    from secateur.cli.comparing import compared, proven
    from secateur.cli.opening import network, opened
    from secateur.errors import FileError
    from secateur.surgery import certified

    with screen.progress("reading") as bars:
        original, data = opened(given)
        original.warn(screen)
        plan = storage.read_plan(verifying.cut)
        if plan is None or not plan.removed:
            raise FileError(f"{verifying.cut}: removes nothing by its plan; give a file that apply or compress wrote.")
        bars.doing("cutting anew")
        again, plan = certified(original.model, plan, data.task)
        loaded = network(given, data, verifying.cut).model
        tensors = _check_shapes(loaded, again, verifying.cut)
        _check_outputs(loaded, again, data.task, verifying.cut)
        bars.doing("measuring")
        before, after = _measured((original.model, loaded), data.task)
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


def _check_shapes(loaded: "nn.Module", again: "nn.Module", path: Path) -> int:
    from secateur.errors import ExactnessError

    found, wanted = ({name: tuple(t.shape) for name, t in m.state_dict().items()} for m in (loaded, again))
    odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if odd:
        first = f"{odd[0]}: {found.get(odd[0], 'missing')}, but the plan leaves {wanted.get(odd[0], 'nothing')}"
        raise ExactnessError(f"{path}: {len(odd)} tensors differ in shape from what the plan leaves; {first}.")
    return len(found)


def _check_outputs(loaded: "nn.Module", again: "nn.Module", task: "Task", path: Path) -> None:
    """Fill the network that was cut anew with the file's tensors, in place, and compare."""
    import torch
    from safetensors.torch import load_file

    from secateur.errors import ExactnessError
    from secateur.inference import evaluating
    from secateur.task import scores_of

    again.to(next(loaded.parameters()).dtype)
    again.load_state_dict(load_file(path), strict=False)  # tied names are written once
    with evaluating(loaded) as first, evaluating(again) as second:
        example = task.example(rows=16)
        found, wanted = scores_of(first(example)), scores_of(second(example))
    if not torch.equal(found, wanted):
        worst = float((found - wanted).abs().max())
        raise ExactnessError(
            f"{path}: the loaded network differs by {worst:.1e} from its weights in the network cut anew."
        )


def _measured(models: tuple["nn.Module", "nn.Module"], task: "Task") -> list[Any]:
    """Both measured, their latencies in turns."""
    from dataclasses import replace

    from secateur.measurement import compare_latency, measure

    latencies = [compare_latency(models, task, size) for size in (1, 32)]
    found = [measure(model, task, latency=False) for model in models]
    return [replace(one, latency=tuple(pair[n] for pair in latencies)) for n, one in enumerate(found)]
