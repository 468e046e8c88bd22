"""Lines in the place of activations that shared a module; plans that do not fit."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import secateur as sc
from secateur.activations import activations_in, find_activations
from secateur.depth import Affine, change_, changes_for, linear_at
from secateur.errors import PlanError, SettingsError
from secateur.plan import Part, Swap, Untie
from secateur.tracing import trace
from untied import Block, activations_of, around

# --- plans that do not fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Untie("2", ("a", "b")), "2: the plan tells 2 calls apart there, but there are 0 calls"),
        (Untie("1", ("a",)), "1: the plan tells 1 calls apart there, but there are 2 calls"),
        (Untie("1", ("first", "b")), "1: .*'first' is taken or no name"),
        (Untie("1", ("a.b", "c")), "1: .*'a.b' is taken or no name"),
        (Untie("7", ("a", "b")), "7: Sequential has no such module; make the plan for this model"),
    ],
)
def test_a_plan_for_another_model_is_refused(change: Untie, message: str) -> None:
    model = around(Block(nn.ReLU()))
    with pytest.raises(PlanError, match=message):
        change_(model, (change,))


def test_an_activation_of_another_model_is_refused() -> None:
    found = activations_of(around(nn.Linear(4, 4), Block(nn.ReLU())))[0]
    with pytest.raises(PlanError, match=r"2.act: Sequential has no such module; make the plan"):
        changes_for(around(nn.Identity()), found)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_is_put_there_and_nowhere_else() -> None:
    """Against the block's own arithmetic, written once more."""
    model, x = around(Block(nn.ReLU())), torch.randn(5, 3)
    found = activations_of(model)[1]
    weight, bias = torch.randn(4), torch.randn(4)
    changes = linear_at(model, found, weight, bias)
    assert changes == (Untie("1", ("act_1", "act_2")), Swap("1.act_2", Part("affine", {"units": 4, "axis": -1})))
    h = model[0](x)
    inner = F.relu(h @ model[1].first.weight.T + model[1].first.bias) @ model[1].last.weight.T + model[1].last.bias
    torch.testing.assert_close(model(x), model[2](weight * (inner + h) + bias))
    assert [a.name for a in activations_of(model)] == ["1.act_1"]


def test_a_line_that_is_the_identity_is_one() -> None:
    model = around(nn.ReLU())
    assert linear_at(model, activations_of(model)[0], torch.ones(4), torch.zeros(4)) == (Swap("1", Part("identity")),)
    model = around(nn.ReLU())
    linear_at(model, activations_of(model)[0], torch.ones(4), torch.tensor([0.0, 0, 0, 1e-30]))
    assert isinstance(model[1], Affine)


def test_a_line_has_the_precision_of_the_network() -> None:
    model = around(nn.ReLU()).double()
    found = find_activations(model, torch.randn(2, 3).double()).activations[0]
    linear_at(model, found, torch.full((4,), 0.1).double(), torch.zeros(4).double())
    assert torch.equal(model[1].weight, torch.full((4,), 0.1).double())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_an_untied_network_with_lines_is_scripted() -> None:
    model, x = around(Block(nn.ReLU())), torch.randn(5, 3)
    linear_at(model, activations_of(model)[0], torch.rand(4), torch.rand(4))
    assert torch.equal(torch.jit.script(model)(x), model(x))


def test_lines_one_by_one_are_the_values_replaced_in_the_graph() -> None:
    """The graph's own run, with each rectifier's output taken for what the line makes of its input."""
    model, x = around(*(Block(nn.ReLU(inplace=True)) for _ in range(3))), torch.randn(5, 3)
    traced = trace(model, x)
    lines = {a.node: (a, *torch.randn(2, 4)) for a in activations_in(traced)}

    def around_node(node: Any, args: tuple[Any, ...], operator: Any) -> Any:
        if node.name in lines:
            _, weight, bias = lines[node.name]
            return args[0] * weight + bias
        return operator(*args)

    wanted = traced.run(((x,), {}), around_node)
    for activation, weight, bias in lines.values():
        linear_at(model, activation, weight, bias)
    assert len(lines) == 6 and torch.equal(model(x), wanted)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.ones(3), torch.zeros(3), "1: 3 numbers for weight, but 4 units; give one for each"),
        (torch.ones(4), torch.tensor([0.0, 0, torch.nan, 0]), "1: bias of unit 2 is nan; look for NaN"),
    ],
)
def test_a_line_that_is_none_is_refused(weight: Tensor, bias: Tensor, message: str) -> None:
    model = around(nn.ReLU())
    with pytest.raises(SettingsError, match=message):
        linear_at(model, activations_of(model)[0], weight, bias)
    assert isinstance(model[1], nn.ReLU)


def test_units_are_cut_and_graphs_found_in_an_untied_network() -> None:
    model, x = around(Block(nn.ReLU())), torch.randn(5, 3)
    linear_at(model, activations_of(model)[0], torch.rand(4), torch.rand(4))
    sites = sc.find_sites(model, x)
    small = sc.apply(model, sc.plan_of(sites, {"1.first": (0, 2)}), verify=True, example=x)
    assert small[1].act_1.units == 2
