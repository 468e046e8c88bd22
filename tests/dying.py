"""A network with units that training keeps dead: cutting them changes nothing for the others, ever.

What makes a dead unit and what reads it are both zero, and its activation at zero is zero: so are all its gradients.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from secateur.continuity import remap_optimizer
from secateur.plan import Cut, Plan
from secateur.surgery import apply
from secateur.width import tensors_of

BATCHES = 8

# Convolution 0 loses channels 1 and 4, convolution 3 channel 0 (of four pixels), linear layer 6 units 2 and 6.
PLAN = Plan(
    "chosen",
    cuts=(
        Cut("0.weight", 0, 6, (1, 4)),
        *(Cut(f"1.{name}", 0, 6, (1, 4)) for name in ("weight", "bias", "running_mean", "running_var")),
        Cut("3.weight", 1, 6, (1, 4)),
        Cut("3.weight", 0, 5, (0,)),
        Cut("3.bias", 0, 5, (0,)),
        Cut("6.weight", 1, 20, (0, 1, 2, 3)),
        Cut("6.weight", 0, 7, (2, 6)),
        Cut("6.bias", 0, 7, (2, 6)),
        Cut("8.weight", 1, 7, (2, 6)),
    ),
)


def network() -> nn.Sequential:
    """Convolutions, a batch norm and linear layers in float64, with dead units where `PLAN` cuts."""
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False),  # a bias before a batch norm has no gradient but rounding
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(20, 7),
        nn.ReLU(),
        nn.Linear(7, 3),
    ).double()
    with torch.no_grad():
        for cut in PLAN.cuts:
            if "running" not in cut.tensor:
                model.get_parameter(cut.tensor).index_fill_(cut.axis, torch.tensor(cut.removed), 0.0)
    return model


def batches() -> list[tuple[Tensor, Tensor]]:
    """Images and targets, the same every time."""
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(BATCHES, 9, 2, 6, 6, generator=generator, dtype=torch.float64)
    targets = torch.randn(BATCHES, 9, 3, generator=generator, dtype=torch.float64)
    return list(zip(rows, targets, strict=True))


def train_(model: nn.Module, optimizer: Optimizer, data: Iterable[tuple[Tensor, Tensor]]) -> None:
    """A step for each batch, in place."""
    for rows, targets in data:
        optimizer.zero_grad()
        mse_loss(model(rows), targets).backward()
        optimizer.step()


def assert_slices(small: nn.Module, whole: nn.Module) -> None:
    """Fail unless a small network's tensors are the slices that `PLAN` leaves of the whole one's."""
    assert largest_difference(small, whole) <= 1e-12


def largest_difference(small: nn.Module, whole: nn.Module) -> float:
    """How far a small network's tensors are from the slices that `PLAN` leaves of the whole one's."""
    found, wanted = tensors_of(small), tensors_of(apply(whole, PLAN))
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).detach().abs().max()) for name in wanted)


def remapped_after_a_step_(model: nn.Module, optimizer: Optimizer, plan: Plan) -> tuple[nn.Module, Optimizer]:
    """The cut network and its optimizer, after one step of the whole one."""
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    small = apply(model, plan)
    return small, remap_optimizer(optimizer, model, small, plan)
