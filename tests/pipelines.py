"""A small network, its task, and recipes without training, for tests of the whole line."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from secateur import methods
from secateur.budget import Budget
from secateur.inference import evaluating
from secateur.pipeline import compress
from secateur.recipe import Recipe, Stage
from secateur.result import Result
from secateur.task import Task
from secateur.width import tensors_of

DENSE = methods.get("dense")
MAGNITUDE = methods.get("magnitude")


def rows(*shape: int, seed: int = 20) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def net(*, bias: bool = True) -> nn.Sequential:
    """A network that names each of its three classes about equally often."""
    torch.manual_seed(3)
    hidden = nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 8, bias=bias), nn.BatchNorm1d(8), nn.ReLU()
    model = nn.Sequential(*hidden, nn.Linear(8, 3, bias=bias))
    if bias:
        with evaluating(model) as predict:
            model[5].bias -= predict(((rows(90, 4),), {})).mean(0)
    return model


def task_of(model: nn.Module | None = None, *, test: bool = False, validation: bool = True) -> Task:
    """Labels are what a network says, so that quality starts at 100."""
    x = rows(90, 4)
    with torch.no_grad():
        y = (model or net()).eval()(x).argmax(1)
    batches = list(zip(x.split(30), y.split(30), strict=True))
    splits: dict[str, Any] = {"train": batches}
    if validation:
        splits["validation"] = batches[:2]
    if test:
        splits["test"] = batches[2:]
    return Task.classification(**splits)


def recipe(budget: Budget, **settings: Any) -> Recipe:
    """One stage without training."""
    outer = {name: settings.pop(name) for name in ("max_drop", "from_scratch") if name in settings}
    return Recipe((Stage(budget=budget, **{"recovery": None, "compensate": "none", **settings}),), **outer)


@cache
def ran(chosen: Recipe, *, test: bool = False) -> Result[nn.Module]:
    """A run that several tests look at; nothing but quality and parameters is measured."""
    return compress(net(), task_of(test=test), chosen)


def widths(result: Result[nn.Module]) -> dict[str, int]:
    return {name: after for name, (_, after) in result.widths.items()}


def assert_same_tensors(found: nn.Module, wanted: nn.Module) -> None:
    assert tensors_of(found).keys() == tensors_of(wanted).keys()
    assert [name for name, t in tensors_of(wanted).items() if not torch.equal(tensors_of(found)[name], t)] == []
