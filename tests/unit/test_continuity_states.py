"""What an optimizer remembers after a cut, and who is in which group."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer

from dying import PLAN, batches, network, remapped_after_a_step_, train_
from secateur.budget import plan_of
from secateur.continuity import remap_optimizer
from secateur.finding import find_sites
from secateur.plan import Cut, Plan
from secateur.surgery import apply

LENGTHS = {("0.weight", 0): 6, ("0.weight", 3): 3, ("3.weight", 1): 6, ("6.weight", 1): 20, ("8.bias", 0): 3}


@settings(max_examples=20)
@given(st.data())
def test_what_is_remembered_is_cut_as_the_weights_are(data: st.DataObject) -> None:
    model = network()
    optimizer = Adam(model.parameters(), amsgrad=True)
    train_(model, optimizer, batches()[:1])
    plan = Plan(
        "chosen",
        cuts=tuple(
            Cut(name, axis, length, tuple(sorted(data.draw(st.sets(st.integers(0, length - 1))))))
            for (name, axis), length in LENGTHS.items()
        ),
    )
    small = apply(model, plan)
    remapped = remap_optimizer(optimizer, model, small, plan)
    for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        wanted = dict(apply(remembering(model, optimizer, key), plan).named_parameters())
        for name, parameter in small.named_parameters():
            assert torch.equal(remapped.state[parameter][key], wanted[name])
            assert remapped.state[parameter]["step"] == 1.0


def remembering(model: nn.Module, optimizer: Optimizer, key: str) -> nn.Module:
    """The model with what the optimizer remembers of each weight in place of the weight."""
    copied = copy.deepcopy(model)
    for ours, given_one in zip(copied.parameters(), model.parameters(), strict=True):
        ours.data = optimizer.state[given_one][key].clone()
    return copied


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon came with torch 2.9")
def test_muons_momentum_is_cut_as_the_weights_are() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    plan = Plan("chosen", cuts=(Cut("0.weight", 0, 4, (1,)), Cut("1.weight", 1, 4, (1,))))
    optimizer = torch.optim.Muon(model.parameters())
    small, remapped = remapped_after_a_step_(model, optimizer, plan)
    wanted = apply(remembering(model, optimizer, "momentum_buffer"), plan)
    for parameter, expected in zip(small.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(remapped.state[parameter]["momentum_buffer"], expected)


# --- groups -----------------------------------------------------------------------------------------------------------


def decayed(model: nn.Module) -> Optimizer:
    """The usual two groups, named: weights with decay, biases without."""
    named = list(model.named_parameters())
    weights, biases = ([pair for pair in named if pair[0].endswith(end)] for end in ("weight", "bias"))
    return AdamW([{"params": weights}, {"params": biases, "weight_decay": 0.0, "betas": (0.5, 0.9)}], weight_decay=0.3)


def test_groups_keep_their_options_names_and_order() -> None:
    model = network()
    optimizer = decayed(model)
    optimizer.param_groups[1]["note"] = ["mine"]
    small, remapped = remapped_after_a_step_(model, optimizer, PLAN)
    for ours, given_one in zip(remapped.param_groups, optimizer.param_groups, strict=True):
        assert {k: v for k, v in ours.items() if k != "params"} == {k: v for k, v in given_one.items() if k != "params"}
        assert [id(small.get_parameter(name)) for name in ours["param_names"]] == [id(p) for p in ours["params"]]
    assert remapped.param_groups[1]["note"] is not optimizer.param_groups[1]["note"]


class Residual(nn.Module):
    """A skip around an inner layer with a norm, so that the whole inner layer can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.norm = nn.Linear(4, 6), nn.Linear(6, 5), nn.LayerNorm(5)
        self.outer, self.last = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(x + self.outer(self.norm(self.inner(x)).relu()))


def test_parameters_of_an_emptied_module_leave_their_group() -> None:
    model = Residual()
    norm = {"params": list(model.norm.parameters()), "lr": 0.5}
    rest = [p for name, p in model.named_parameters() if not name.startswith("norm")]
    plan = plan_of(find_sites(model, torch.randn(5, 4)), {"inner": range(5)})
    small, remapped = remapped_after_a_step_(model, Adam([norm, {"params": rest}]), plan)
    assert [group["lr"] for group in remapped.param_groups] == [0.5, 1e-3]
    assert [len(group["params"]) for group in remapped.param_groups] == [0, 8]
    assert {id(p) for p in remapped.state} == {id(p) for p in small.parameters()}
    train_(small, remapped, [(torch.randn(5, 4), torch.randn(5, 3))])


@pytest.mark.parametrize("make", [decayed, lambda model: torch.optim.Adagrad(model.parameters())])
def test_a_gained_bias_joins_its_weight_with_nothing_remembered(make: Callable[[nn.Module], Optimizer]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    plan = Plan("chosen", cuts=(Cut("0.weight", 0, 4, (1,)), Cut("0.bias", 0, 4, (1,)), Cut("1.weight", 1, 4, (1,))))
    plan = Plan("chosen", cuts=plan.cuts, biased=("1",))
    small, remapped = remapped_after_a_step_(model, make(model), plan)
    members = next(g["params"] for g in remapped.param_groups if any(p is small[1].weight for p in g["params"]))
    place = next(place for place, p in enumerate(members) if p is small[1].weight)
    assert members[place + 1] is small[1].bias
    assert remapped.state.get(small[1].bias, {}).get("step", 0) == 0
    assert remapped.state[small[1].weight]["step"] == 1
    if "param_names" in remapped.param_groups[0]:
        assert remapped.param_groups[0]["param_names"] == ["0.weight", "1.weight", "1.bias"]
    train_(small, remapped, [(torch.randn(5, 3), torch.randn(5, 2))])
    assert float(small[1].bias.detach().abs().min()) > 0


def test_a_gained_bias_of_a_frozen_layer_stays_out() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    plan = Plan("chosen", biased=("1",))
    _, remapped = remapped_after_a_step_(model, SGD(model[0].parameters()), plan)
    assert [tuple(p.shape) for p in remapped.param_groups[0]["params"]] == [(4, 3), (4,)]


def test_tied_weights_are_one_parameter_before_and_after() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    optimizer = Adam(model.parameters())
    small, remapped = remapped_after_a_step_(model, optimizer, Plan("chosen", cuts=(Cut("1.weight", 0, 5, (0, 3)),)))
    weight, bias = remapped.param_groups[0]["params"]
    assert weight is small[0].weight is small[1].weight
    assert torch.equal(remapped.state[weight]["exp_avg"], optimizer.state[model[0].weight]["exp_avg"][[1, 2, 4]])
    assert bias is small[0].bias


# --- Adafactor --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [((0, 1),), ((1, 2),), ((0, 0, 4), (1, 5)), ((2, 0), (3, 1), (0, 2))])
def test_adafactors_estimate_for_each_weight_that_stays_is_the_one_from_before(
    cuts: tuple[tuple[int, ...], ...],
) -> None:
    model = nn.Conv2d(6, 5, (4, 3)) if len(cuts[0]) == 2 and cuts[0][0] == 2 else nn.Linear(6, 5)
    shape = model.weight.shape
    plan = Plan("chosen", cuts=tuple(Cut("weight", axis, shape[axis], tuple(gone)) for axis, *gone in cuts))
    optimizer = Adafactor(model.double().parameters())
    small, remapped = remapped_after_a_step_(model, optimizer, plan)
    whole = copy.deepcopy(model)
    whole.weight.data = estimate(optimizer.state[model.weight])
    torch.testing.assert_close(estimate(remapped.state[small.weight]), apply(whole, plan).weight.data)
    row, column = (remapped.state[small.weight][name] for name in ("row_var", "col_var"))
    torch.testing.assert_close(row.mean(-2, keepdim=True), column.mean(-1, keepdim=True))


def estimate(state: dict[str, Tensor]) -> Tensor:
    """The second moment of every weight, from Adafactor's paper: row mean times column mean by the mean of all."""
    row, column = state["row_var"], state["col_var"]
    return row * column / row.mean(-2, keepdim=True)


def test_adafactor_that_saw_no_gradient_keeps_its_zeros() -> None:
    model = nn.Linear(6, 5)
    optimizer = Adafactor(model.parameters())
    model(torch.zeros(2, 6)).sum().mul(0).backward()
    optimizer.step()
    plan = Plan("chosen", cuts=(Cut("weight", 1, 6, (0,)), Cut("weight", 0, 5, (0,)), Cut("bias", 0, 5, (0,))))
    small = apply(model, plan)
    state = remap_optimizer(optimizer, model, small, plan).state[small.weight]
    assert torch.equal(state["row_var"], torch.zeros(4, 1)) and torch.equal(state["col_var"], torch.zeros(1, 5))
