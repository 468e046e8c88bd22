"""The judge finds what was cut from a network, by whatever tool, or says what it cannot tell."""

from collections.abc import Callable

import pytest
import torch
import torch_pruning
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network
from secateur import apply, find_sites, judge, plan_of
from secateur.errors import ModelError
from secateur.matching import removed_units
from secateur.width import tensors_of
from strategies import architectures, removals

GONE = {"0": (1, 5, 6), "3": (0, 11)}


def net() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model.eval()


def cut_by_torch_pruning(gone: dict[str, tuple[int, ...]] = GONE) -> nn.Module:
    model = net()
    for name, units in gone.items():
        graph = torch_pruning.DependencyGraph().build_dependency(model, torch.randn(2, 4))
        layer = model.get_submodule(name)
        graph.get_pruning_group(layer, torch_pruning.prune_linear_out_channels, idxs=list(units)).prune()
    return model.eval()


def test_a_cut_of_another_tool_is_read_back_and_proven() -> None:
    found = judge(net(), cut_by_torch_pruning(), torch.randn(5, 4))
    assert found.removed == GONE
    assert found.is_pure and not found.is_wrong
    assert found.certificate is not None and found.certificate.relative_difference <= 1e-5
    assert (found.changed, found.reasons) == ((), ())


def test_nothing_removed_is_a_pure_cut_of_nothing() -> None:
    found = judge(net(), net(), torch.randn(5, 4))
    assert (found.removed, found.is_pure) == ({}, True)


def change_weight(model: nn.Module) -> None:
    with torch.no_grad():
        model[5].weight[0, 0] += 0.5


def change_activation(model: nn.Module) -> None:
    model[2] = nn.LeakyReLU(0.3)


def change_all(model: nn.Module) -> None:
    with torch.no_grad():
        for tensor in tensors_of(model).values():
            tensor.add_(1)


def test_what_changed_besides_is_named_and_nothing_is_proven() -> None:
    cut = cut_by_torch_pruning()
    change_weight(cut)
    found = judge(net(), cut, torch.randn(5, 4))
    assert (found.removed, found.changed) == (GONE, ("5.weight",))
    assert not found.is_pure and not found.is_wrong
    assert len(found.reasons) == 1 and "differs from the silenced original by" in found.reasons[0]


def test_a_network_of_the_right_tensors_that_computes_something_else_is_wrong() -> None:
    cut = cut_by_torch_pruning()
    change_activation(cut)
    found = judge(net(), cut, torch.randn(5, 4))
    assert found.is_wrong and not found.is_pure
    assert (found.removed, found.changed, found.certificate) == (GONE, (), None)


def test_after_training_all_weights_it_is_not_guessed_which_units_stayed() -> None:
    cut = cut_by_torch_pruning()
    change_all(cut)
    found = judge(net(), cut, torch.randn(5, 4))
    assert found.removed == {} and not found.is_pure and not found.is_wrong
    assert "0.weight, axis 0: slice 0 is none of the original's" in found.reasons[0]


def test_units_that_are_alike_are_not_guessed() -> None:
    model = net()
    with torch.no_grad():
        for tensor in (model[3].weight, model[3].bias):
            tensor[3] = tensor[4]
        model[5].weight[:, 3] = model[5].weight[:, 4]
    sites = find_sites(model, torch.randn(2, 4))
    found = judge(model, apply(model, plan_of(sites, {"3": (4,)})), torch.randn(5, 4))
    assert found.removed == {}
    assert "several slices of the original are equal" in found.reasons[0]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda: net()[:5], "the cut network lacks 2 tensors (5.bias, 5.weight)"),
        (lambda: nn.Sequential(*net(), nn.Linear(2, 2)), "the original lacks 2 tensors (6.bias, 6.weight)"),
        (lambda: nn.Sequential(nn.Linear(5, 12), *net()[1:]), "0.weight is [12, 5], in the original [12, 4]"),
        (lambda: nn.Sequential(nn.Linear(3, 12), *net()[1:]), "0.weight: axis 1 is shorter, but what lies there"),
    ],
)
def test_networks_that_are_no_pair_are_said_to_be_none(other: Callable[[], nn.Module], reason: str) -> None:
    found = judge(net(), other(), torch.randn(5, 4))
    assert any(reason in text for text in found.reasons)
    assert not found.is_pure


class Joined(nn.Module):
    """Two branches side by side, read by one layer: an axis with the units of two sites."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(3, 5), nn.Linear(3, 4), nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(x).relu(), self.right(x).tanh()], -1))


def test_sites_that_share_an_axis_are_told_apart() -> None:
    model = Joined()
    gone = {"left": (0, 4), "right": (1,)}
    cut = apply(model, plan_of(find_sites(model, torch.randn(2, 3)), gone))
    found = judge(model, cut, torch.randn(2, 3))
    assert found.removed == gone and found.is_pure


@given(st.data(), architectures())
@settings(max_examples=4)
def test_any_cut_is_read_back_or_said_to_be_unclear(data: st.DataObject, architecture: Architecture) -> None:
    model = Network(architecture).eval()
    shape = (3, architecture.tokens, architecture.features) if architecture.tokens else (3, architecture.features)
    try:
        sites = find_sites(model, torch.randn(shape))
    except ModelError:
        return  # nothing can be removed
    gone = data.draw(removals(sites))
    cut = apply(model, plan_of(sites, gone))
    assume(tensors_of(model).keys() == tensors_of(cut).keys())  # a norm over nothing, or a bias that was gained
    found, unclear = removed_units(sites, tensors_of(model), tensors_of(cut))
    wanted = {name: tuple(sorted(units)) for name, units in gone.items() if units}
    assert found == {name: units for name, units in wanted.items() if name in found}
    assert len(found) == len(wanted) or unclear
