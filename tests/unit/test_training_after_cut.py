"""Training a cut network is training the silenced original: gradients agree, and so do both after a step."""

import copy
from random import Random

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from footprint import untouched
from fuzz.checks import found_sites
from fuzz.counting import without_the_gone, witnessed
from fuzz.cuts import drawn_units
from fuzz.networks import drawn, inputs, network_of, randomise_
from fuzz.oracle import answers, assert_close, gradients, kept_of, tensors, zeroed_
from secateur import zoo
from secateur.plan import Plan

RATE = 0.05
ZOO = {
    "mobilenet_v2": {"outputs": 3, "data": "cifar", "width": 0.25},
    "densenet": {"outputs": 3, "depth": 13, "growth": 4},
    "resnet20": {"outputs": 3},
    "lenet": {"outputs": 3},
}


def assert_learns_alike(model: nn.Module, plan: Plan, example: Tensor, later: Tensor) -> None:
    """Fail unless outputs and gradients agree before and after a step; the model stays untouched."""
    with untouched(model):
        small = sc.apply(model, plan)
    whole = copy.deepcopy(model)
    stays = zeroed_(whole, plan)
    for x in (example, later):
        with witnessed() as witness:
            found = answers(small, x)
        with without_the_gone(stays, witness):
            wanted = answers(whole, x)
        assert_close("output", dict(enumerate(found)), dict(enumerate(wanted)))
        ours, theirs = gradients(small, found), gradients(whole, wanted)
        assert_close("gradient", ours, kept_of(whole, plan, theirs))
        _step_(small, ours)
        _step_(whole, theirs)
        zeroed_(whole, plan)  # silent units stay silent
        buffers = dict(small.named_buffers())
        assert_close("state", tensors(small) | buffers, kept_of(whole, plan, tensors(whole)))


@torch.no_grad()
def _step_(model: nn.Module, found: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=RATE)
    for name, parameter in parameters.items():
        parameter.grad = found[name].clone()
    optimizer.step()


def training(model: nn.Module, *, statistics: str) -> nn.Module:
    """A model in training mode without dropout; its batch norms use kept statistics, or those of the batch."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.RReLU):
            module.eval()
        if isinstance(module, nn.modules.batchnorm._NormBase) and statistics == "kept":
            module.eval()
    return model


@pytest.mark.parametrize("statistics", ["kept", "of the batch"])
@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_the_zoo_learns_as_the_silenced_original(name: str, statistics: str) -> None:
    model = zoo.build(name, **ZOO[name]).double()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        randomise_(model, 1.0)
    model = training(model, statistics=statistics)
    x = zoo.example(name, **ZOO[name]).double()
    sites = sc.find_sites(model, x)
    plan = sc.plan_of(sites, drawn_units(sites, Random(7)))
    later = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert_learns_alike(model, plan, x, later)


@pytest.mark.parametrize("seed", range(40, 52))
def test_a_random_network_learns_as_the_silenced_original(seed: int) -> None:
    recipe = drawn(seed)
    statistics = "kept" if seed % 2 else "of the batch"
    model = training(network_of(recipe), statistics=statistics)
    x, later = inputs(recipe.start, 4), inputs(recipe.start, 5, seed=1)
    sites = found_sites(model, x)
    assert_learns_alike(model, sc.plan_of(sites, drawn_units(sites, Random(seed))), x, later)
