"""What the inherited weights were worth: the same shape trained from random ones."""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from secateur.inference import evaluating
from secateur.measurement import measure
from secateur.pipeline.progress import Watch
from secateur.recovery import Recovery, train
from secateur.result import TEST, Measurement, Step
from secateur.task import Task
from secateur.width import copied


def trained_from_scratch(model: nn.Module, task: Task, recovery: Recovery, watch: Watch) -> Step:
    """The same shape trained from random weights: what the inherited weights were worth."""
    begun = time.perf_counter()
    trained = train(reinitialised(model, recovery.seed), task, replace(recovery, teacher=None), watch=watch).model
    measurement = with_test(trained, measure(trained, task, latency=False), task)
    return Step("from_scratch", 0, measurement, time.perf_counter() - begun)


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a model with fresh random weights, by each module's own `reset_parameters`."""
    fresh = copied(model)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # of layers that lost all units
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = _reset_of(module)
            if reset is not None:
                reset()
    return fresh


def inherited(model: nn.Module) -> tuple[str, ...]:
    """A note of the weights that `reinitialised` leaves as they are, if there are any."""
    owners = [(name, module) for name, module in model.named_modules() if _reset_of(module) is None]
    left = [f"{name}.{key}".lstrip(".") for name, module in owners for key, _ in module.named_parameters(recurse=False)]
    if not left:
        return ()
    return (f"from_scratch: {', '.join(left)} started as trained: their modules have no reset_parameters.",)


def _reset_of(module: nn.Module) -> Callable[[], None] | None:
    reset = getattr(module, "reset_parameters", None)
    return reset if callable(reset) else None


def with_test(model: nn.Module, measurement: Measurement, task: Task) -> Measurement:
    """The measurement with the test data's figures, where there is test data."""
    if task.test is None:
        return measurement
    with evaluating(model) as predict:
        quality = task.evaluate("test", predict)
    tested = {f"{TEST}{name}": value for name, value in quality.items()}
    return replace(measurement, quality=measurement.quality | tested)
