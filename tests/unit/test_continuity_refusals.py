"""What continuity refuses: what it cannot follow, it does not guess."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer

from dying import PLAN, network, remapped_after_a_step_
from secateur.continuity import remap_optimizer
from secateur.errors import OptimizerError, PlanError
from secateur.plan import Cut, Plan
from secateur.surgery import apply


class Remembering(Optimizer):
    """An optimizer that nobody knows, and that remembers what it is told to."""

    def __init__(self, params: Any, remember: Callable[[Tensor], Any], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "remember": remember})

    def step(self, closure: Any = None) -> None:  # noqa: ARG002
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["memory"] = group["remember"](parameter)


def per_weight(parameter: Tensor) -> Tensor:
    return torch.full_like(parameter, 2.0)


def per_pair_of_rows(parameter: Tensor) -> Tensor:
    return torch.eye(len(parameter))


def layers(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))


CUT = Plan("chosen", cuts=(Cut("1.weight", 1, 4, (0,)),))


@pytest.mark.parametrize("remember", [per_weight, lambda _: 3, lambda _: None, lambda _: torch.tensor([5.0])])
def test_an_unknown_optimizers_memory_per_weight_or_of_one_number_goes_on(remember: Callable[[Tensor], Any]) -> None:
    model = layers(3, 4, 4)
    small, remapped = remapped_after_a_step_(model, Remembering(model.parameters(), remember), CUT)
    memory, wanted = remapped.state[small[1].weight]["memory"], remember(small[1].weight)
    assert memory == wanted if not isinstance(wanted, Tensor) else torch.equal(memory, wanted)


@pytest.mark.parametrize(
    ("widths", "remember", "found"),
    [
        ((3, 4, 4), per_pair_of_rows, r"has the shape \(4, 4\) of a square weight"),
        ((4, 4, 4), per_weight, r"has the shape \(4, 4\) of a square weight"),
        ((4, 4, 5), per_pair_of_rows, r"has shape \(5, 5\), the parameter \(5, 4\)"),
        ((3, 4, 4), lambda parameter: [parameter], r"is of type list"),
    ],
)
def test_a_memory_that_cannot_be_followed_is_refused(
    widths: tuple[int, ...], remember: Callable[[Tensor], Any], found: str
) -> None:
    model = layers(*widths)
    with pytest.raises(OptimizerError, match=rf"1\.weight: Remembering's state 'memory' {found}.*make a new optimizer"):
        remapped_after_a_step_(model, Remembering(model.parameters(), remember), CUT)


def test_a_parameter_that_was_not_cut_keeps_whatever_is_remembered() -> None:
    model = layers(4, 4, 4)
    _, remapped = remapped_after_a_step_(model, Remembering(model.parameters(), per_pair_of_rows), Plan("nothing"))
    assert all(torch.equal(state["memory"], per_pair_of_rows(p)) for p, state in remapped.state.items())


def test_lbfgs_is_refused() -> None:
    model = network()
    with pytest.raises(OptimizerError, match=r"LBFGS: .* one vector.*make a new optimizer"):
        remap_optimizer(LBFGS(model.parameters()), model, apply(model, PLAN), PLAN)


def test_a_parameter_that_is_not_the_models_is_refused() -> None:
    model, temperature = network(), nn.Parameter(torch.ones(2, 3))
    optimizer = SGD([{"params": model.parameters()}, {"params": [temperature]}])
    with pytest.raises(OptimizerError, match=r"SGD: parameter 0 of shape \(2, 3\) in group 1 .* of Sequential; give"):
        remap_optimizer(optimizer, model, apply(model, PLAN), PLAN)


def test_state_of_no_parameter_is_refused() -> None:
    model = network()
    optimizer = SGD(model.parameters())
    optimizer.state["all"] = {"step": 3}
    with pytest.raises(OptimizerError, match="SGD: it holds state that belongs to no parameter"):
        remap_optimizer(optimizer, model, apply(model, PLAN), PLAN)


def test_an_option_that_holds_many_numbers_is_refused() -> None:
    model = network()
    optimizer = SGD(model.parameters())
    optimizer.param_groups[0]["masks"] = [torch.ones(4)]
    with pytest.raises(OptimizerError, match="SGD: option 'masks' of group 0"):
        remap_optimizer(optimizer, model, apply(model, PLAN), PLAN)


class Around(SGD):
    """An optimizer around another one."""

    def __init__(self, params: Any, inner: Any = None) -> None:
        super().__init__(params)
        self.inner = inner


class Told(SGD):
    """An optimizer that must be told more than its defaults say."""

    def __init__(self, params: Any, epochs: int) -> None:
        super().__init__(params)
        self.epochs = epochs


class Picky(SGD):
    """An optimizer that takes two groups and no more options than one."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        if lr > 0.1:
            raise ValueError("a rate for toddlers only")
        super().__init__(params, lr)


def test_optimizers_that_hold_more_than_can_be_followed_are_refused() -> None:
    model = network()
    small = apply(model, PLAN)
    with pytest.raises(OptimizerError, match="Around: its attribute 'inner' of type Adam"):
        remap_optimizer(Around(model.parameters(), Adam(model.parameters())), model, small, PLAN)
    with pytest.raises(OptimizerError, match=r"Told: .* needs epochs"):
        remap_optimizer(Told(model.parameters(), 3), model, small, PLAN)
    picky = Picky(model.parameters())
    picky.defaults["lr"] = 1.0
    with pytest.raises(OptimizerError, match="Picky: it cannot be made anew: a rate for toddlers only"):
        remap_optimizer(picky, model, small, PLAN)


def test_plain_attributes_go_along() -> None:
    model = network()
    remapped = remap_optimizer(Around(model.parameters(), (3, "three")), model, apply(model, PLAN), PLAN)
    assert isinstance(remapped, Around) and remapped.inner == (3, "three")


def test_a_network_that_the_plan_did_not_make_is_refused() -> None:
    model = network()
    optimizer = SGD(model.parameters())
    small = apply(model, PLAN)
    with pytest.raises(PlanError, match=r"0\.weight: shape \(6, 2, 3, 3\) in the small network, \(4, 2, 3, 3\) by"):
        remap_optimizer(optimizer, model, model, PLAN)
    with pytest.raises(PlanError, match=r"0\.weight: the plan expects 6 entries on axis 0, the model has 4"):
        remap_optimizer(SGD(small.parameters()), small, small, PLAN)
    with pytest.raises(PlanError, match=r"8\.weight: the small network lacks it"):
        remap_optimizer(optimizer, model, small[:8], PLAN)
    with pytest.raises(PlanError, match=r"9\.weight: the small network has this parameter, the model no such layer"):
        remap_optimizer(optimizer, model, nn.Sequential(*small, nn.Linear(3, 3)), PLAN)
    with pytest.raises(PlanError, match=r"float32 on cpu in the small network, torch\.float64 on cpu .* remap first"):
        remap_optimizer(optimizer, model, small.float(), PLAN)
