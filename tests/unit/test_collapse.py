"""Stretches fitted and collapsed: theorems, and numpy on the same rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from footprint import untouched
from secateur.compensation import collapse as module
from secateur.compensation import proposals
from secateur.compensation.collapse import Fit, collapse, fits, run_with
from secateur.errors import DataError, ModelError
from secateur.stretches import find_layers
from secateur.task import Task
from secateur.tracing import trace

ROWS = 100
JUDGES = np.arange(ROWS) % 5 == 4


def rows(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task_of(x: Tensor, batch: int = 40) -> Task:
    return Task.regression(calibration=[(part, part) for part in x.split(batch)])


def chain(*, on: bool = False) -> nn.Sequential:
    """Two pairs around layers that stay; `on` says that the rectifiers of the pairs never switch."""
    torch.manual_seed(5)
    pair = nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh()
    other = nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4), nn.Tanh()
    model = nn.Sequential(*pair, *other, nn.Linear(4, 3)).double()
    if on:
        nn.init.constant_(model[0].bias, 50.0)
        nn.init.constant_(model[4].bias, 50.0)
    return model


def fitted(model: nn.Module, x: Tensor, batch: int = 40) -> dict[str, Fit]:
    task = task_of(x, batch)
    return fits(trace(model, task), find_layers(model, task).stretches, task, ROWS)


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias by numpy on the rows that do not judge."""
    ones = np.concatenate([x, np.ones((len(x), 1))], 1)
    solution = np.linalg.lstsq(ones, y, rcond=None)[0]
    return solution[:-1].T, solution[-1]


@pytest.fixture
def no_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RIDGES", (1e-12,))
    monkeypatch.setattr(proposals, "RIDGES", (1e-12,))


@pytest.mark.usefixtures("no_ridge")
def test_what_is_linear_is_collapsed_without_loss() -> None:
    model, x = chain(on=True), rows(ROWS, 5)
    task = task_of(x)
    small, edits, folds = collapse(model, find_layers(model, task).stretches, task, rows=ROWS)
    assert [type(layer).__name__ for layer in small] == [
        *("Identity", "Identity", "Linear", "Tanh", "Identity", "Identity", "Linear", "Tanh", "Linear")
    ]
    torch.testing.assert_close(small(x), model(x), rtol=1e-6, atol=1e-6)
    assert [edit.name for edit in edits] == ["1", "5"]
    assert all(edit.error < 1e-9 for edit in edits)
    assert [fold.layer for fold in folds] == ["2", "6", "8"]


@pytest.mark.usefixtures("no_ridge")
@pytest.mark.parametrize("batch", [100, 40, 7])
def test_a_fit_is_numpys_on_four_of_five_rows_and_its_error_that_of_the_fifth(batch: int) -> None:
    model, x = chain(), rows(ROWS, 5)
    found = fitted(model, x, batch)
    with torch.no_grad():
        ends = {"1": (x, model[:3](x)), "5": (model[:4](x), model[:7](x))}
    for name, (read, gave) in ends.items():
        into, out = read.numpy(), gave.numpy()
        weight, bias = least_squares(into[~JUDGES], out[~JUDGES])
        np.testing.assert_allclose(found[name].weight.numpy(), weight, atol=1e-8)
        np.testing.assert_allclose(found[name].bias.numpy(), bias, atol=1e-8)
        missed = into[JUDGES] @ weight.T + bias - out[JUDGES]
        error = (missed**2).mean() / out[JUDGES].var(0).mean()
        assert found[name].error == pytest.approx(error, rel=1e-6)


@pytest.mark.usefixtures("no_ridge")
def test_later_operators_read_what_earlier_ones_put_out_and_aim_at_the_original() -> None:
    model, x = chain(), rows(ROWS, 5)
    task = task_of(x)
    small, _, _ = collapse(model, find_layers(model, task).stretches, task, rows=ROWS, others=False)
    with torch.no_grad():
        read, wanted = small[:4](x).numpy(), model[:7](x).numpy()
        before = model[:4](x).numpy()
    weight, bias = least_squares(read[~JUDGES], wanted[~JUDGES])
    np.testing.assert_allclose(small[6].weight.detach().numpy(), weight, atol=1e-7)
    np.testing.assert_allclose(small[6].bias.detach().numpy(), bias, atol=1e-7)
    assert not np.allclose(weight, least_squares(before[~JUDGES], wanted[~JUDGES])[0], atol=1e-3)
    assert torch.equal(small[8].weight, model[8].weight)  # others=False


def test_layers_behind_are_solved_anew_and_bring_the_output_nearer() -> None:
    model, x = chain(), rows(400, 5)
    for layer in (0, 2, 4, 6):
        model[layer].weight.data *= 2.0  # far from linear
    task = task_of(x)
    stretches = find_layers(model, task).stretches[:1]
    plain, _, alone = collapse(model, stretches, task, rows=400, others=False)
    mended, _, folds = collapse(model, stretches, task, rows=400)
    assert [fold.layer for fold in alone] == ["2"]
    assert [fold.layer for fold in folds] == ["2", "4", "6", "8"]
    errors = [float((net(x) - model(x)).detach().square().mean()) for net in (plain, mended)]
    assert errors[1] < errors[0]


class Crossing(nn.Module):
    """A pair during which another layer runs, behind a pair of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 6), nn.Tanh())
        self.one, self.act, self.two = nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 6)
        self.beside, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.one(x)
        z = self.beside(x)
        return self.head(self.two(self.act(y)).tanh() + z)


def test_layers_that_run_amid_a_stretch_aim_at_their_own_outputs() -> None:
    model, x = Crossing().double(), rows(400, 5)
    task = task_of(x)
    stretches = find_layers(model, task).stretches
    assert [one.modules for one in stretches] == [("stem",), ("one", "act", "two")]
    _, _, folds = collapse(model, stretches, task, rows=400)
    assert {fold.layer: fold.error_after < 0.5 for fold in folds} == dict.fromkeys(
        ("stem", "beside", "two", "head"), True
    )


@pytest.mark.usefixtures("no_ridge")
@pytest.mark.parametrize(("stride", "size"), [(1, 6), (2, 7)])
def test_images_are_fitted_as_by_numpy_on_unfolded_maps(stride: int, size: int) -> None:
    torch.manual_seed(1)
    pair = nn.Conv2d(2, 4, 3, stride, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)
    model, x = nn.Sequential(*pair, nn.Tanh()).double().eval(), rows(ROWS, 2, size, size)
    (found,) = fitted(model, x).values()
    with torch.no_grad():
        wanted = model[:4](x).flatten(2).movedim(1, -1)[~JUDGES].flatten(0, 1).numpy()
    columns = F.unfold(x, 3, stride=stride, padding=1).movedim(1, -1)[~JUDGES].flatten(0, 1).numpy()
    weight, bias = least_squares(columns, wanted)
    np.testing.assert_allclose(found.weight.flatten(1).numpy(), weight, atol=1e-7)
    np.testing.assert_allclose(found.bias.numpy(), bias, atol=1e-7)


def test_a_run_with_an_operator_is_a_run_of_the_collapsed_network() -> None:
    model, x = chain(), rows(ROWS, 5)
    task = task_of(x)
    traced, stretches = trace(model, task), find_layers(model, task).stretches
    found = fits(traced, stretches, task, ROWS)
    for stretch in stretches:
        fit, place = found[stretch.name], int(stretch.modules[-1])
        small = nn.Sequential(*model[: place - 2], nn.Linear(5, len(fit.bias)).double(), *model[place + 1 :])
        small[place - 2].weight.data, small[place - 2].bias.data = fit.weight, fit.bias
        torch.testing.assert_close(run_with(traced, stretch, fit, ((x,), {})), small(x))


def test_padding_is_not_fitted_to() -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    bert = BertModel(config, add_pooling_layer=False).eval()
    ids, mask = torch.randint(10, 50, (20, 6)), torch.ones(20, 6, dtype=torch.long)
    mask[:, 4:] = 0
    found = []
    for given in ({"input_ids": ids, "attention_mask": mask}, {"input_ids": ids[:, :4], "attention_mask": mask[:, :4]}):
        task = Task.of(
            metric="none", loss=lambda *_: torch.zeros(()), sums=lambda *_: torch.zeros(1), quality=lambda _: {},
            distance=lambda one, two, _: (one[0] - two[0]).square().mean(), calibration=[given],
        )  # fmt: skip
        found.append(next(iter(fits(trace(bert, task), find_layers(bert, task).stretches, task, 20).values())))
    torch.testing.assert_close(found[0].weight, found[1].weight, rtol=1e-3, atol=1e-4)
    assert found[0].error == pytest.approx(found[1].error, rel=1e-3)


def test_the_given_network_stays_as_it_was() -> None:
    model, x = chain().train(), rows(ROWS, 5)
    task = task_of(x)
    with untouched(model):
        collapse(model, find_layers(model, task).stretches, task, rows=ROWS)


def test_a_stretch_too_large_to_solve_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = chain(), rows(ROWS, 5)
    monkeypatch.setattr(module, "MOST_COLUMNS", 4)
    stretches = find_layers(model, x).stretches
    with pytest.raises(ModelError, match=r"1: an operator of 5 inputs is too large .* 4 are the most"):
        collapse(model, stretches, task_of(x), rows=ROWS)
    with pytest.raises(ModelError, match="too large"):
        fitted(model, x)


def test_values_that_are_no_numbers_are_refused_by_name() -> None:
    model, x = chain(), rows(ROWS, 5)
    traced, stretches = trace(model, x), find_layers(model, x).stretches
    huge = x * 1e300
    model[0].weight.data *= 1e300
    with pytest.raises(DataError, match="1: what comes in or out there is NaN"):
        fits(traced, stretches, task_of(huge), ROWS)
    with pytest.raises(DataError, match="1: the calibration data has 1 row there"):
        fits(traced, stretches, replace(task_of(x), calibration=[(x[:1], x[:1])]), ROWS)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_layers_behind_are_solved_only_where_the_tasks_own_distance_falls(sign: float) -> None:
    model, x = chain(), rows(ROWS, 5)
    for layer in (0, 2, 4, 6):
        model[layer].weight.data *= 2.0
    task = replace(task_of(x), distance=lambda one, two, _: sign * (one - two).square().mean())
    stretches = find_layers(model, task).stretches[:1]
    plain, _, alone = collapse(model, stretches, task, rows=ROWS, others=False)
    found, edits, folds = collapse(model, stretches, task, rows=ROWS)
    is_plain = all(torch.equal(one, two) for one, two in zip(plain.parameters(), found.parameters(), strict=True))
    assert is_plain is (sign < 0)
    if is_plain:
        assert folds[0] == alone[0]
        assert edits[0].error == alone[0].error_after
        assert [(fold.layer, fold.used) for fold in folds[1:]] == [("4", "none"), ("6", "none"), ("8", "none")]
        assert all("took the output further" in fold.reason for fold in folds[1:])
