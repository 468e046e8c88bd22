"""Continuity: a training goes on after a cut as if the removed units had been dead all along."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from dying import PLAN, assert_slices, batches, largest_difference, network, train_
from footprint import untouched
from secateur.continuity import remap_optimizer
from secateur.plan import Cut, Plan
from secateur.surgery import apply

CUT = 4  # batches before the cut

# Each with what makes it remember as much as it can, and options that make the memory of so few steps count.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": partial(optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "sgd-foreach": partial(optim.SGD, lr=0.05, momentum=0.9, dampening=0.5, foreach=True),
    "adam": partial(optim.Adam, lr=0.02, amsgrad=True, weight_decay=0.1),
    "adam-fused": partial(optim.Adam, lr=0.02, fused=True),
    "adam-tensor-rate": partial(optim.Adam, lr=torch.tensor(0.02), maximize=True),
    "adamw": partial(optim.AdamW, lr=0.02, weight_decay=0.2),
    "adamw-foreach": partial(optim.AdamW, lr=0.02, amsgrad=True, foreach=True),
    "rmsprop": partial(optim.RMSprop, lr=0.01, centered=True, momentum=0.9, weight_decay=0.1),
    "adagrad": partial(optim.Adagrad, lr=0.05, lr_decay=0.1, initial_accumulator_value=0.3),
    "nadam": partial(optim.NAdam, lr=0.02, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": partial(optim.RAdam, lr=0.02),
    "adadelta": partial(optim.Adadelta, lr=5.0),
    "rprop": partial(optim.Rprop, lr=0.01),
    "asgd": partial(optim.ASGD, lr=0.1, lambd=0.1, t0=2),
    "adamax": partial(optim.Adamax, lr=0.02),
    # Without clipping and scaling by root mean squares: these depend on how many weights there are, dead or not.
    "adafactor": partial(optim.Adafactor, lr=0.02, eps=(None, 1.0), d=1e9),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_been_cut(make: Callable[..., Optimizer]) -> None:
    whole, data = network(), batches()
    optimizer = make(whole.parameters())
    train_(whole, optimizer, data[:CUT])

    small = apply(whole, PLAN)
    forgetful = copy.deepcopy(small)
    train_(small, remap_optimizer(optimizer, whole, small, PLAN), data[CUT:])
    train_(forgetful, make(forgetful.parameters()), data[CUT:])
    train_(whole, optimizer, data[CUT:])  # last: it is untouched by what the small network did

    assert_slices(small, whole)
    assert largest_difference(forgetful, whole) >= 1e-4  # memory matters, so this test would see it lost


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_new_optimizer_is_of_the_same_kind_and_the_given_one_untouched(make: Callable[..., Optimizer]) -> None:
    whole = network()
    optimizer = make(whole.parameters())
    optimizer.register_step_post_hook(noted := Noted())
    train_(whole, optimizer, batches()[:CUT])
    small = apply(whole, PLAN)
    state, attributes = copy.deepcopy(optimizer.state_dict()), dict(vars(optimizer))

    with untouched(whole), untouched(small):
        remapped = remap_optimizer(optimizer, whole, small, PLAN)

    assert_equal(optimizer.state_dict(), state)
    assert vars(optimizer) == attributes
    assert type(remapped) is type(optimizer)
    assert remapped.defaults == optimizer.defaults
    assert options(remapped) == options(optimizer)
    assert vars(remapped).keys() == vars(optimizer).keys()
    assert [id(p) for p in remapped.param_groups[0]["params"]] == [id(p) for p in small.parameters()]
    storages = {t.data_ptr() for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor)}
    kept = {t.data_ptr() for s in remapped.state.values() for t in s.values() if isinstance(t, Tensor)}
    assert storages.isdisjoint(kept)
    train_(small, remapped, batches()[:1])
    assert noted.steps == CUT + 1


class Noted:
    """A hook that counts steps."""

    steps = 0

    def __call__(self, *_: Any) -> None:
        self.steps += 1


def options(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys()
    for number, state in wanted["state"].items():
        assert found["state"][number].keys() == state.keys()
        assert all(
            torch.equal(torch.as_tensor(found["state"][number][k]), torch.as_tensor(v)) for k, v in state.items()
        )


def test_the_optimizer_from_before_trains_nothing() -> None:
    whole, data = network(), batches()
    optimizer = optim.Adam(whole.parameters())
    train_(whole, optimizer, data[:CUT])
    small = apply(whole, PLAN)
    before = copy.deepcopy(dict(small.named_parameters()))
    train_(small, optimizer, data[CUT:])
    assert all(torch.equal(parameter, before[name]) for name, parameter in small.named_parameters())


def test_an_optimizer_that_never_stepped_goes_on_too() -> None:
    whole = network()
    small = apply(whole, PLAN)
    optimizer = optim.Adagrad(whole.parameters(), initial_accumulator_value=0.5)
    train_(small, remap_optimizer(optimizer, whole, small, PLAN), batches())
    train_(whole, optimizer, batches())
    assert_slices(small, whole)


def test_it_goes_on_through_two_cuts() -> None:
    first = Plan("chosen", cuts=tuple(cut for cut in PLAN.cuts if cut.removed == (2, 6)))
    second = Plan("chosen", cuts=tuple(cut for cut in PLAN.cuts if cut.removed != (2, 6)))
    whole, data = network(), batches()
    optimizer = optim.Adam(whole.parameters(), lr=0.02)
    train_(whole, optimizer, data[:2])
    middle = apply(whole, first)
    between = remap_optimizer(optimizer, whole, middle, first)
    train_(middle, between, data[2:5])
    small = apply(middle, second)
    train_(small, remap_optimizer(between, middle, small, second), data[5:])
    train_(whole, optimizer, data[2:])
    assert_slices(small, whole)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(9, 6, sparse=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(x).mean(1))


def test_sparse_gradients_go_on_too() -> None:
    whole = Words().double()
    plan = Plan("chosen", cuts=(Cut("table.weight", 1, 6, (0, 5)), Cut("head.weight", 1, 6, (0, 5))))
    for weight in (whole.table.weight, whole.head.weight):
        weight.data[:, [0, 5]] = 0.0
    words = torch.randint(9, (8, 5, 3), generator=torch.Generator().manual_seed(1))
    optimizers = optim.SparseAdam(whole.table.parameters(), lr=0.1), optim.SGD(whole.head.parameters(), lr=0.1)

    train_on_words_(whole, optimizers, words[:CUT])
    small = apply(whole, plan)
    train_on_words_(small, [remap_optimizer(o, whole, small, plan) for o in optimizers], words[CUT:])
    train_on_words_(whole, optimizers, words[CUT:])

    torch.testing.assert_close(small.table.weight, whole.table.weight[:, 1:5], rtol=0, atol=1e-12)


def train_on_words_(model: nn.Module, optimizers: Sequence[Optimizer], words: Tensor) -> None:
    for rows in words:
        model.zero_grad()
        mse_loss(model(rows), rows[:, :2].double()).backward()
        for optimizer in optimizers:
            optimizer.step()
