"""Running a model without training it."""

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur.inference import device_of, evaluating, moved


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2)).train()
    model[1].eval()
    return model


def test_inside_everything_is_in_eval_mode_and_without_gradients() -> None:
    model = net()
    with evaluating(model) as predict:
        assert not any(module.training for module in model.modules())
        first, second = (predict(((torch.ones(5, 3),), {})) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_afterwards_each_module_has_its_own_mode_again() -> None:
    model = net()
    with untouched(model), evaluating(model) as predict:
        predict(((torch.ones(5, 3),), {}))
    assert torch.ones(1, requires_grad=True).sum().requires_grad


def test_modes_are_put_back_after_an_error_too() -> None:
    model = net()
    with untouched(model), pytest.raises(RuntimeError, match="mat1"), evaluating(model) as predict:
        predict(((torch.ones(5, 7),), {}))


def test_one_inside_another_does_no_harm() -> None:
    model = net()
    with untouched(model), evaluating(model), evaluating(model) as predict:
        predict(((torch.ones(5, 3),), {}))


class Stateful(nn.Module):
    """Changes its buffers when called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.full((3,), float("nan")))

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        self.calls.add_(1)
        self.last = x[0]
        return x * self.calls * scale


def test_buffers_are_put_back() -> None:
    model = Stateful()
    calls, last = model.calls, model.last
    with evaluating(model) as predict:
        assert float(predict(((torch.ones(5, 3),), {"scale": 2.0}))[0, 0]) == 2.0
        assert float(predict(((torch.ones(5, 3),), {}))[0, 0]) == 2.0
    assert model.calls is calls
    assert model.last is last
    assert float(calls) == 0.0
    assert bool(last.isnan().all())


def test_a_model_is_where_its_first_tensor_is() -> None:
    assert device_of(nn.Linear(2, 2).to("meta")) == torch.device("meta")
    assert device_of(nn.BatchNorm1d(2, affine=False).to("meta")) == torch.device("meta")
    assert device_of(nn.ReLU()) == torch.device("cpu")


def test_only_tensors_move() -> None:
    assert moved(torch.ones(2), torch.device("meta")).device == torch.device("meta")
    assert moved("text", torch.device("meta")) == "text"
    assert moved(None, torch.device("meta")) is None
