"""Surgery on chosen networks: what is left, what stays tied, frozen and of its kind, and the given model untouched."""

import copy

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from residual import Residual, rows
from secateur.budget import plan_of
from secateur.finding import find_sites
from secateur.surgery import apply, certify


@pytest.mark.parametrize("norm", [nn.LayerNorm(5), nn.BatchNorm1d(5), nn.PReLU(5)], ids=["layer", "batch", "prelu"])
def test_a_layer_that_loses_all_units_leaves_its_readers_constant(norm: nn.Module) -> None:
    model = Residual(norm)
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"inner": range(5)}), verify=True, example=rows(5, 4))
    x = model.first(rows(5, 4)).relu()
    wanted = model.last(x + model.outer.bias)
    torch.testing.assert_close(small(rows(5, 4)), wanted)
    assert isinstance(small.norm, nn.Identity)
    assert [name for name, _ in small.named_modules()] == [name for name, _ in model.named_modules()]


def test_nothing_removed_gives_an_equal_network() -> None:
    model = Residual()
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {}), verify=True, example=rows(5, 4))
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), model.parameters(), strict=True))
    assert small is not model


def test_removed_units_leave_the_statistics_of_a_layer_norm() -> None:
    model = Residual()
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"inner": (1, 3)}))
    x = model.first(rows(5, 4)).relu()
    kept = model.inner(x)[:, [0, 2, 4]]
    normed = torch.nn.functional.layer_norm(kept, (3,), model.norm.weight[[0, 2, 4]], model.norm.bias[[0, 2, 4]])
    wanted = model.last(x + normed.relu() @ model.outer.weight[:, [0, 2, 4]].T + model.outer.bias)
    torch.testing.assert_close(small(rows(5, 4)), wanted)


def test_attributes_tell_the_new_sizes() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.PReLU(6), nn.LayerNorm(6), nn.Linear(6, 2))
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"0": (0, 5)}))
    linear, batch, prelu, layer, head = small
    assert (linear.in_features, linear.out_features) == (4, 4)
    assert (batch.num_features, prelu.num_parameters, layer.normalized_shape) == (4, 4, (4,))
    assert (head.in_features, head.out_features) == (4, 2)


def test_a_cut_network_trains() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"0": (0, 5)})).train()
    small(rows(5, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(6, 5)
        self.third.weight = self.second.weight
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(self.second(x).relu() + self.third(x.tanh()))


def test_tied_weights_stay_tied() -> None:
    model = Tied()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, dict.fromkeys(sites.names, (0, 2))), verify=True, example=rows(5, 4))
    assert small.second.weight is small.third.weight
    assert small.second.weight.shape == (3, 4)
    assert small.second.weight is not model.second.weight


def test_a_weight_used_from_both_sides_stays_one_weight() -> None:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(rows(6, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.weight.T) @ self.weight

    small = apply(
        Autoencoder(), plan_of(find_sites(Autoencoder(), rows(5, 4)), {"weight": (1,)}), verify=True, example=rows(5, 4)
    )
    assert small.weight.shape == (5, 4)


def test_frozen_weights_are_cut_and_stay_frozen() -> None:
    model = Residual()
    model.inner.requires_grad_(False)
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"inner": (0,)}))
    frozen = {name for name, parameter in small.named_parameters() if not parameter.requires_grad}
    assert frozen == {"inner.weight", "inner.bias"}
    assert small.inner.weight.shape == (4, 6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_kind_of_number_stays(dtype: torch.dtype) -> None:
    model = Residual().to(dtype)
    x = rows(5, 4).to(dtype)
    plan = plan_of(find_sites(model, x), {"inner": (0, 1)})
    small = apply(model, plan, verify=True, example=x)
    assert {tensor.dtype for tensor in small.state_dict().values()} == {dtype}
    assert certify(small, model, plan, x).dtype in (str(dtype).removeprefix("torch."), "float64")


def test_a_plan_is_applied_on_shapes_alone() -> None:
    model = Residual()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1), "first": (5,)})
    shapes = {name: tensor.shape for name, tensor in apply(copy.deepcopy(model).to("meta"), plan).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in apply(model, plan).state_dict().items()}


def test_the_given_model_is_never_touched() -> None:
    model = Residual(nn.BatchNorm1d(5)).train()
    model.norm.eval()
    model(rows(5, 4)).sum().backward()
    with untouched(model):
        sites = find_sites(model, rows(5, 4))
        apply(model, plan_of(sites, {"inner": (0, 1)}), verify=True, example=rows(5, 4))
