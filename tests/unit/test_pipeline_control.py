"""The control: the final shape, trained from random weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from pipelines import assert_same_tensors, net, ran, recipe, task_of
from secateur.budget import Share
from secateur.pipeline import compress, reinitialised
from secateur.recovery import Recovery
from secateur.width import resize_

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_the_same_shape_is_trained_from_scratch_beside() -> None:
    result = compress(net(), task_of(test=True), recipe(Share(0.5), from_scratch=Recovery(epochs=1)))
    (control,) = result.controls
    assert (control.name, control.measurement.parameters) == ("from_scratch", result.final.parameters)
    assert "test_accuracy" in control.measurement.quality
    assert result.notes == ()
    assert ran(recipe(Share(0.5))).controls == ()


def test_random_weights_follow_the_seed_and_leave_the_random_state() -> None:
    model = net()
    with untouched(model):
        first, again, other = (reinitialised(model, seed) for seed in (1, 1, 2))
    assert_same_tensors(first, again)
    for name, parameter in first.named_parameters():
        if "3." not in name:  # a batch norm starts with ones and zeros
            assert not torch.equal(parameter, dict(model.named_parameters())[name])
            assert not torch.equal(parameter, dict(other.named_parameters())[name])


def test_layers_that_lost_everything_start_anew_too() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    resize_(model, {"0.weight": (0, 4), "0.bias": (0,), "1.weight": (3, 0)})
    with torch.no_grad():
        model[1].bias.fill_(7.0)
    assert not bool((reinitialised(model, 0)[1].bias == 7.0).any())


def test_weights_that_cannot_start_anew_are_named() -> None:
    class Scaled(nn.Module):
        def __init__(self, inner: Callable[[], nn.Module]) -> None:
            super().__init__()
            self.inner, self.scale = inner(), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * self.scale

    result = compress(Scaled(net), task_of(), recipe(Share(0.5), from_scratch=Recovery(epochs=1)))
    assert result.notes == ("from_scratch: scale started as trained: their modules have no reset_parameters.",)
