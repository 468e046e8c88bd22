"""Tracing: what each entry of a tensor costs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.sites import TensorCost
from secateur.tracing import costs_of as tensor_costs
from secateur.tracing import sites_in, trace
from traced import Base, rows


def costs_of(model: nn.Module, example: Any) -> dict[str, TensorCost]:
    return {cost.name: cost for cost in tensor_costs(trace(model, example))}


def test_each_entry_of_a_weight_costs_one_multiply_add_for_each_position() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    costs = costs_of(model, rows(5, 4))
    assert {name: cost.macs_per_entry for name, cost in costs.items() if cost.macs_per_entry} == {
        "0.weight": 1.0,
        "3.weight": 1.0,
    }
    assert {name: cost.shape for name, cost in costs.items()} == {
        name: tuple(tensor.shape) for name, tensor in model.state_dict().items()
    }
    assert {name for name, cost in costs.items() if cost.is_parameter} == dict(model.named_parameters()).keys()
    assert costs_of(nn.Linear(4, 6), rows(5, 7, 4))["weight"].macs_per_entry == 7.0


class Products(nn.Module):
    """One weight used twice, two weights that are one, and every way to multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.turned, self.added = nn.Parameter(rows(3, 4)), nn.Parameter(rows(3, 2))
        self.register_buffer("mask", torch.ones(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.other(self.one(self.twice(self.twice(x)))) * self.mask
        return torch.addmm(torch.zeros(2), x @ self.turned.T, self.added)


def test_what_is_used_twice_costs_twice_and_what_is_tied_counts_once() -> None:
    costs = costs_of(Products(), rows(5, 4))
    (tied,) = {"one.weight", "other.weight"} & costs.keys()
    macs = {name: cost.macs_per_entry for name, cost in costs.items() if cost.macs_per_entry}
    assert macs == {"twice.weight": 2.0, tied: 2.0, "turned": 1.0, "added": 1.0}
    assert sum(torch.Size(c.shape).numel() for c in costs.values() if c.is_parameter) == sum(
        parameter.numel() for parameter in Products().parameters()
    )
    assert costs["mask"] == TensorCost("mask", (4,), 0.0, is_parameter=False)


def test_products_of_activations_cost_as_much_as_torch_counts() -> None:
    class Attention(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.softmax(self.first(x) @ self.second(x).transpose(-1, -2), -1) @ self.first(x))

    model, x = Attention(), rows(2, 5, 4)
    sites = sites_in(trace(model, x))
    with FlopCounterMode(display=False) as counter:
        model(x)
    found = sum(cost.macs_per_entry * torch.Size(cost.shape).numel() for cost in sites.tensors)
    assert 2 * 2 * found == counter.get_total_flops()  # two rows, and a multiply-add is two operations
