"""Checks of a cut network against its original: of our own files by their plans, of others by what can be told."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from secateur import sources, storage
from secateur.cli.comparing import proven
from secateur.cli.opening import Network, network
from secateur.cli.options import Given
from secateur.data import Data
from secateur.errors import ExactnessError, FileError
from secateur.inference import evaluating
from secateur.judging import Judgement, judge
from secateur.measurement import compare_latency, measure
from secateur.replay import replay_
from secateur.report.figures import plural
from secateur.result import Measurement
from secateur.surgery import certified
from secateur.task import Task, scores_of
from secateur.width import copied

_SHOWN = 3


@dataclass(frozen=True)
class Checked:
    """A cut network, what was found out in one word and at length, and as data."""

    model: nn.Module
    verdict: str
    checks: tuple[str, ...]
    about: dict[str, Any]
    is_wrong: bool = False


def checked(cut: str, original: Network, given: Given, data: Data) -> Checked:
    """The cut network in a file or at an address, and how it compares with its original.

    Raises:
        CompressionError: it cannot be read, or is no cut of the original by its own plan.
    """
    path = _weights_at(cut)
    if path is not None:
        return _by_its_plan(path, original, given, data)
    model = sources.build(cut, given.seed, data.shape)
    return _judged(judge(original.model, model, data.task), model)


def measured_in_turns(models: tuple[nn.Module, nn.Module], task: Task) -> list[Measurement]:
    """Both measured, their latencies in turns."""
    latencies = [compare_latency(models, task, size) for size in (1, 32)]
    found = [measure(model, task, latency=False) for model in models]
    return [replace(one, latency=tuple(pair[n] for pair in latencies)) for n, one in enumerate(found)]


def _weights_at(cut: str) -> Path | None:
    """The file with weights and plan; None for the address of another model."""
    return sources.weights_with_plan(cut) if sources.is_address(cut) else Path(cut)


def _by_its_plan(path: Path, original: Network, given: Given, data: Data) -> Checked:
    plan = storage.read_plan(path)
    if plan is None or not (plan.removed or plan.layers):
        raise FileError(f"{path}: removes nothing by its plan; give a file that apply or compress wrote.")
    if plan.layers:
        return _by_its_layers(path, original, given, data)
    again, plan = certified(original.model, plan, data.task)
    loaded = network(given, data, path).model
    tensors = _check_shapes(loaded, again, path)
    _check_outputs(loaded, again, data.task, path)
    assert plan.certificate is not None  # certified gives one
    units = sum(len(gone) for gone in plan.removed.values())
    checks = (
        proven([plan.certificate]),
        f"{tensors} tensors have the shapes that the plan leaves ({units} units removed)",
        "the file's weights in the network cut anew give the same outputs, bit for bit",
    )
    about = {"certificate": asdict(plan.certificate), "units_removed": units, "tensors": tensors}
    return Checked(loaded, "verified", checks, about)


def _by_its_layers(path: Path, original: Network, given: Given, data: Data) -> Checked:
    """A network whose layers were changed: there is nothing that it should equal, but it is what its plan leaves."""
    plan = storage.read_plan(path)
    assert plan is not None  # who calls has seen it
    again = copied(original.model)
    replay_(again, plan)
    loaded = network(given, data, path).model
    tensors = _check_shapes(loaded, again, path)
    _check_outputs(loaded, again, data.task, path)
    units = sum(len(gone) for gone in plan.removed.values())
    checks = (
        f"{tensors} tensors have the shapes that the plan leaves ({plural(len(plan.layers), 'layer')} changed, "
        f"{plural(units, 'unit')} removed)",
        "the file's weights in the original changed anew give the same outputs, bit for bit",
        "changed layers compute something else than the original's: that is measured, not proven",
    )
    about = {"layers_changed": len(plan.layers), "units_removed": units, "tensors": tensors}
    return Checked(loaded, "what its plan leaves", checks, about)


def _judged(found: Judgement, model: nn.Module) -> Checked:
    units = {site: len(gone) for site, gone in found.removed.items()}
    checks = [f"{plural(sum(units.values()), 'unit')} removed at {plural(len(units), 'site')}"]
    if found.changed:
        shown = ", ".join(found.changed[:_SHOWN]) + (", …" if len(found.changed) > _SHOWN else "")
        checks.append(f"{plural(len(found.changed), 'tensor')} changed besides, by training or otherwise: {shown}")
    if found.certificate:
        checks.append(proven([found.certificate]))
    about = {
        "pure": found.is_pure,
        "units_removed": sum(units.values()),
        "removed": {site: list(gone) for site, gone in found.removed.items()},
        "changed": list(found.changed),
        "reasons": list(found.reasons),
        "certificate": asdict(found.certificate) if found.certificate else None,
    }
    return Checked(model, _verdict(found), (*checks, *found.reasons), about, found.is_wrong)


def _verdict(found: Judgement) -> str:
    if found.is_pure:
        return "verified, an exact cut" if found.removed else "nothing was removed"
    if found.is_wrong:
        return "wrong: its tensors are those of a cut, but it computes something else"
    return "cut, and changed besides" if found.changed else "not a pure cut, as far as can be told"


def _check_shapes(loaded: nn.Module, again: nn.Module, path: Path) -> int:
    """How many tensors the networks have, all of equal shapes.

    Raises:
        ExactnessError: some differ.
    """
    found, wanted = ({name: tuple(t.shape) for name, t in m.state_dict().items()} for m in (loaded, again))
    odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if odd:
        first = f"{odd[0]}: {found.get(odd[0], 'missing')}, but the plan leaves {wanted.get(odd[0], 'nothing')}"
        raise ExactnessError(f"{path}: {len(odd)} tensors differ in shape from what the plan leaves; {first}.")
    return len(found)


def _check_outputs(loaded: nn.Module, again: nn.Module, task: Task, path: Path) -> None:
    """Fill the network that was cut anew with the file's tensors, in place, and compare outputs bit by bit.

    Raises:
        ExactnessError: they differ.
    """
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
