"""Whole plans made true of a network: layers and cuts, step by step."""

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur.composing import compose
from secateur.depth import Affine
from secateur.errors import PlanError
from secateur.plan import Cut, LayerEdit, Part, Plan, Swap, from_json, to_json
from secateur.replay import check_complete, replay_
from secateur.surgery import certify

WIDE = Plan("width", cuts=(Cut("0.weight", 0, 4, (1,)), Cut("0.bias", 0, 4, (1,)), Cut("2.weight", 1, 4, (1,))))


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


def putting(place: str, part: Part) -> Plan:
    return Plan("depth", layers=(LayerEdit(place, "identity", (Swap(place, part),)),))


def test_an_activation_turned_into_the_identity_leaves_two_matrices() -> None:
    model, x = net(), torch.randn(5, 3)
    linear = sc.apply(model, putting("1", Part("identity")))
    product = model[2].weight @ (x @ model[0].weight.T + model[0].bias).T
    torch.testing.assert_close(linear(x), product.T + model[2].bias)
    assert isinstance(model[1], nn.ReLU)


@pytest.mark.parametrize("first", ["width", "depth"])
def test_a_composed_plan_leaves_what_its_steps_leave(first: str) -> None:
    """The line has as many units as there are when it comes in."""
    model, plans = net(), [WIDE, putting("1", Part("affine", {"units": 3 if first == "width" else 4}))]
    if first == "depth":
        plans = [plans[1], Plan("width", cuts=(*WIDE.cuts, *(Cut(f"1.{n}", 0, 4, (1,)) for n in ("weight", "bias"))))]
    replay_(model, from_json(to_json(compose(*plans))))
    line = model[1]
    assert isinstance(line, Affine)
    assert (line.units, model[0].out_features, model[2].in_features) == (3, 3, 3)
    with torch.no_grad():
        line.weight.fill_(1)
    torch.testing.assert_close(model(torch.zeros(1, 3))[0], model[2](model[0].bias))


def test_a_layer_may_come_in_on_the_meta_device() -> None:
    model = net().to("meta")
    replay_(model, compose(WIDE, putting("1", Part("affine", {"units": 3}))))
    assert all(tensor.is_meta for tensor in model.state_dict().values())


@pytest.mark.parametrize("place", ["3", "relu", ""])
def test_a_place_that_does_not_exist_is_refused(place: str) -> None:
    with pytest.raises(PlanError, match="has no such module; make the plan for this model"):
        sc.apply(net(), putting(place, Part("identity")))


def test_weights_that_no_plan_holds_are_not_made_up() -> None:
    plan = compose(WIDE, compose(putting("1", Part("identity")), putting("2", Part("linear", dict(LINEAR)))))
    for refusing in (lambda: check_complete(plan), lambda: sc.apply(net(), plan)):
        with pytest.raises(PlanError, match="2: the plan brings in 1 modules with weights, which no plan holds; load"):
            refusing()


LINEAR = {"in_features": 3, "out_features": 2, "bias": True}


def test_a_proof_of_cuts_is_not_given_for_layers() -> None:
    model, plan = net(), putting("1", Part("identity"))
    small = sc.apply(model, plan)
    with pytest.raises(PlanError, match="1: the plan changes 1 layers, but the proof is of cuts alone"):
        certify(small, model, plan, torch.randn(2, 3))


class Doubled(nn.Module):
    """Averages of networks hold them like this."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def test_an_average_loses_its_layers_as_the_network_does() -> None:
    average = sc.remap_average(Doubled(net()), putting("1", Part("identity")))
    assert isinstance(average.module[1], nn.Identity)
    with pytest.raises(PlanError, match="which no plan holds"):
        sc.remap_average(Doubled(net()), putting("1", Part("affine", {"units": 4})))
