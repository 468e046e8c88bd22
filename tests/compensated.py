"""Networks that are cut and then compensated, and how far they are from the originals."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secateur.budget import plan_of
from secateur.compensation import HOWS, Repaired, repair
from secateur.compensation.batches import UNSEEN
from secateur.finding import find_sites
from secateur.plan import Plan
from secateur.surgery import apply
from secateur.task import Task

FOLDS = [how for how in HOWS if how != "none"]
ROWS = 200


def rows(*shape: int, seed: int = 12) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task_of(x: Tensor, batch: int = 64) -> Task:
    return Task.regression(calibration=[(part, part) for part in x.split(batch)])


def cut(model: nn.Module, x: Tensor, removed: dict[str, Sequence[int]]) -> tuple[nn.Module, Plan]:
    plan = plan_of(find_sites(model, x), removed)
    return apply(model, plan), plan


def repaired(model: nn.Module, x: Tensor, removed: dict[str, Sequence[int]], how: str, batch: int = 64) -> Repaired:
    small, plan = cut(model, x, removed)
    return repair(small, model, plan, task_of(x, batch), how=how)


def unseen(x: Tensor) -> Tensor:
    return x[UNSEEN - 1 :: UNSEEN]


def put_out_by(model: nn.Module, name: str, x: Tensor) -> Tensor:
    """What a layer puts out, by a hook of PyTorch's own."""
    found: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda *call: found.append(call[2].detach().clone()))
    model.eval()(x)
    handle.remove()
    return found[0]


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """The mean square of the difference, relative to the variance of what is wanted."""
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).square().mean() / wanted.var(0, correction=0).mean())


def net(*, bias: bool = True, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(5)
    layers = (nn.Linear(4, 8), activation(), nn.Linear(8, 7, bias=bias), activation(), nn.Linear(7, 3, bias=bias))
    return nn.Sequential(*layers).double()


REMOVED = {"0": (0, 3, 4), "2": (1, 6)}
