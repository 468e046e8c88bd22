"""Tracing: what cannot be followed is refused in one line."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.errors import ModelError
from secateur.finding import find_sites
from traced import Base, Two, rows

pytestmark = pytest.mark.usefixtures("quiet")


def _random(model: Base, x: Tensor) -> Any:
    return model.last(model.first(x) * torch.rand(6))


def _by_value(model: Base, x: Tensor) -> Any:
    return model.last(model.first(x)) if x.sum() > 0 else x


def _no_tensor(*_: Any) -> Any:
    return "nothing"


def _outside(model: Base, x: Tensor) -> Any:
    return model.last(model.first(torch.from_numpy(x.numpy())))


def _wrong_key(_: Base, x: Tensor) -> Any:
    return {"x": x}["y"]


class Given(Base):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Any:
        return self.what(self, x)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (_random, "does not compute what the model does"),
        (_by_value, "torch.export cannot follow"),
        (_no_tensor, "holds no tensor"),
        (_outside, "torch.export cannot follow"),
        (_wrong_key, "fails on the example"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_forward_that_cannot_be_followed_is_refused(
    what: Any, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=found) as raised:
        find_sites(Given(what), rows(5, 4))
    assert str(raised.value).startswith("Given: ")
    capsys.readouterr()  # torch prints the graph so far


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with torch.no_grad():
        model[1].weight[0, :2] = value
    with pytest.raises(ModelError, match=r"1\.weight: 2 of 18 weights"):
        find_sites(model, rows(5, 4))


def test_weights_without_values_are_refused() -> None:
    with pytest.raises(ModelError, match=r"0\.weight: has no values yet"):
        find_sites(nn.Sequential(nn.LazyLinear(6), nn.Linear(6, 3)), rows(5, 4))
    with pytest.raises(ModelError, match=r"0\.weight: has no values yet"):
        find_sites(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).to("meta"), rows(5, 4))


def test_an_example_of_the_wrong_shape_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="fails on the example: mat1 and mat2") as raised:
        find_sites(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), rows(5, 7))
    assert "\n" not in str(raised.value)


def test_a_missing_argument_is_refused() -> None:
    with pytest.raises(ModelError, match=r"fails on the example: .*missing 1 required"):
        find_sites(Two(), rows(5, 4))
