"""Checks of a network that came from a file against the one that was cut anew."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from secateur.errors import ExactnessError
from secateur.inference import evaluating
from secateur.measurement import compare_latency, measure
from secateur.result import Measurement
from secateur.task import Task, scores_of


def check_shapes(loaded: nn.Module, again: nn.Module, path: Path) -> int:
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


def check_outputs(loaded: nn.Module, again: nn.Module, task: Task, path: Path) -> None:
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


def measured_in_turns(models: tuple[nn.Module, nn.Module], task: Task) -> list[Measurement]:
    """Both measured, their latencies in turns."""
    latencies = [compare_latency(models, task, size) for size in (1, 32)]
    found = [measure(model, task, latency=False) for model in models]
    return [replace(one, latency=tuple(pair[n] for pair in latencies)) for n, one in enumerate(found)]
