"""Activations watched from both sides: what they read and what they give, by hooks of PyTorch's own."""

import pytest
import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from footprint import untouched
from secateur.activations import find_activations
from secateur.calibration import calibrate
from secateur.errors import DataError, ModelError
from secateur.methods import get, score
from secateur.scores import Entering, Rectified
from secateur.signs import Signs
from secateur.sites import Sites
from secateur.stats import Line
from secateur.task import Task


def rows(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task_of(x: Tensor, batch: int = 16) -> Task:
    return Task.regression(calibration=[(part, part[:, :1]) for part in x.split(batch)])


def lines(model: nn.Module, task: Task) -> dict[str, Line]:
    return calibrate(model, find_activations(model, task), task, Rectified(Line.empty))


def signs(model: nn.Module, task: Task) -> dict[str, Signs]:
    return calibrate(model, find_activations(model, task), task, Entering(Signs.empty))


def through(model: nn.Module, module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into a module and what comes out."""
    found: list[tuple[Tensor, Tensor]] = []
    before = module.register_forward_pre_hook(lambda _, args: found.append((args[0].detach().clone(), args[0])))
    after = module.register_forward_hook(lambda _, __, out: found.append((found[0][0], out.detach().clone())))
    model.eval()(x)
    before.remove()
    after.remove()
    return found[1]


def assert_line_of(found: Line, pre: Tensor, post: Tensor) -> None:
    """Of all rows [rows, units]."""
    assert found.count == len(pre)
    torch.testing.assert_close(found.mean_in, pre.mean(0), rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(found.mean_out, post.mean(0), rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(found.var_in, pre.var(0, correction=0), rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(found.var_out, post.var(0, correction=0), rtol=1e-11, atol=1e-14)
    cov = ((pre - pre.mean(0)) * (post - post.mean(0))).mean(0)
    torch.testing.assert_close(found.cov, cov, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.ReLU6(inplace=True), nn.PReLU(6).double(), NewGELUActivation()],
    ids=lambda module: type(module).__name__,
)
def test_an_activation_is_watched_on_both_sides_in_place_or_not(activation: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), activation, nn.Linear(6, 2)).double()
    x = rows(40, 4)
    (found,) = lines(model, task_of(x)).values()
    pre, post = through(model, model[2], x)
    assert_line_of(found, pre, post)
    (counts,) = signs(model, task_of(x)).values()
    assert counts.on.tolist() == (pre > 0).sum(0).tolist()


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_all_places_of_a_map_are_rows(batch: int) -> None:
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Conv2d(5, 1, 1)).double()
    x = rows(10, 2, 6, 7)
    pre, post = through(model, model[2], x)
    (found,) = lines(model, task_of(x, batch)).values()
    assert_line_of(found, *(maps.movedim(1, -1).reshape(-1, 5) for maps in (pre, post)))


class Reader(nn.Module):
    """Tokens in, and which of them are no padding."""

    def __init__(self, *, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        self.first, self.act, self.last = nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)
        self.double()

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        shape = x.shape
        y = self.last(self.act(self.first(x.flatten(0, 1) if self.flat else x)))
        return y.reshape(*shape[:2], 2)[:, 0] + 0 * attention_mask.sum(1, keepdim=True)


@pytest.mark.parametrize("flat", [False, True])
def test_padding_is_left_out(flat: bool) -> None:
    model, x = Reader(flat=flat), rows(6, 5, 3)
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4, 2, 5])[:, None]
    batches = [{"x": x[i : i + 2], "attention_mask": mask[i : i + 2].long()} for i in (0, 2, 4)]
    (found,) = lines(model, Task.classification(calibration=batches)).values()
    pre = model.first(x)[mask].detach()
    assert_line_of(found, pre, nn.functional.gelu(pre))


def test_one_module_called_twice_is_watched_call_by_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.relu = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 1), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.relu(self.b(self.relu(self.a(x)))))

    model, x = Twice().double(), rows(20, 3)
    first, second = lines(model, task_of(x)).values()
    assert_line_of(first, model.a(x).detach(), model.a(x).relu().detach())
    inner = model.b(model.a(x).relu()).detach()
    assert_line_of(second, inner, inner.relu())


def test_watching_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Linear(6, 2)).double().train()
    with untouched(model):
        lines(model, task_of(rows(20, 4)))


def test_sites_without_activations_are_refused() -> None:
    model, task = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double(), task_of(rows(20, 4))
    with pytest.raises(ModelError, match="take them from find_layers"):
        score(model, Sites(()), task, get("easier"))


def test_activations_of_another_model_are_refused() -> None:
    task = task_of(rows(20, 4))
    sites = find_activations(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double(), task)
    other = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    with pytest.raises(ModelError, match=r"1: Sequential has no such activation"):
        score(other, sites, task, get("easier"))


def test_values_that_are_not_finite_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    nn.init.constant_(model[0].weight, 3.0)
    x = rows(20, 4)
    x[7] = 1e308
    with pytest.raises(DataError, match="1: what comes in there is NaN or infinite"):
        score(model, find_activations(model, task_of(x[:4])), task_of(x), get("easier"))
