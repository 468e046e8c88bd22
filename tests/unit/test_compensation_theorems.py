"""Compensation: closed forms against their theorems."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compensated import FOLDS, ROWS, net, put_out_by, repaired, rows
from secateur.budget import plan_of
from secateur.compensation.batches import UNSEEN
from secateur.compensation.layers import Layer, layers_of
from secateur.compensation.proposals import Proposal, Seen, _mean, candidates, chosen
from secateur.finding import find_sites
from secateur.stats import Gram
from secateur.tracing import trace


def one_hidden_layer(gone: Sequence[int]) -> tuple[nn.Sequential, Tensor, Layer, Seen]:
    """A layer that reads hidden units, and what is seen at it where all rows serve to fit and to judge."""
    model, x = net()[:3], rows(ROWS, 4)
    plan = plan_of(find_sites(model, x), {"0": gone})
    (layer,) = layers_of(trace(model, x), plan)
    hidden = model[:2](x).detach()
    fitted = Gram.of(hidden[:, layer.kept], model(x).detach())
    return model, hidden, layer, Seen(fitted, fitted, Gram.of(hidden, hidden[:, :0]))


def as_solution(layer: nn.Linear, kept: Tensor) -> Tensor:
    return torch.cat([layer.weight[:, kept], layer.bias[:, None]], 1).detach().T


@pytest.mark.parametrize("gone", [(0,), (1, 2, 5), tuple(range(1, 8))])
def test_a_mean_fold_keeps_the_next_layers_mean(gone: Sequence[int]) -> None:
    model, hidden, layer, seen = one_hidden_layer(gone)
    old = Proposal("none", as_solution(model[2], layer.kept))
    (mean,) = _mean(layer, seen.original, model[2].weight.detach(), old)
    found = hidden[:, layer.kept] @ mean.solution[:-1] + mean.solution[-1]
    torch.testing.assert_close(found.mean(0), model[2](hidden).mean(0).detach(), rtol=1e-12, atol=1e-12)
    assert torch.equal(mean.solution[:-1], old.solution[:-1])


def test_the_mean_is_the_best_constant() -> None:
    model, hidden, layer, seen = one_hidden_layer((1, 2, 5))
    old = Proposal("none", as_solution(model[2], layer.kept))
    (mean,) = _mean(layer, seen.original, model[2].weight.detach(), old)
    given_up = (hidden[:, layer.gone] @ model[2].weight[:, layer.gone].T).detach().numpy()
    wanted = np.linalg.lstsq(np.ones((ROWS, 1)), given_up, rcond=None)[0][0]
    np.testing.assert_allclose((mean.solution - old.solution)[-1].numpy(), wanted, rtol=1e-10)


def test_the_regression_on_the_kept_units_is_that_of_numpy() -> None:
    model, hidden, layer, seen = one_hidden_layer((1, 2, 5))
    old = Proposal("none", as_solution(model[2], layer.kept))
    before, best = chosen([candidates(layer, seen, model[2].weight.detach(), old, "least_squares")])
    kept = np.concatenate([hidden[:, layer.kept].numpy(), np.ones((ROWS, 1))], 1)
    taken_over = np.linalg.lstsq(kept, hidden[:, layer.gone].numpy(), rcond=None)[0]
    wanted = old.solution.numpy() + taken_over @ model[2].weight[:, layer.gone].detach().numpy().T
    assert best.name == "least_squares"
    np.testing.assert_allclose(best.solution.numpy(), wanted, rtol=0.02, atol=0.02)  # but for the ridge
    assert best.error < before.error
    assert best.error == pytest.approx(
        float(np.square(kept @ wanted - model(rows(ROWS, 4)).detach().numpy()).mean()), rel=0.01
    )


@pytest.mark.parametrize("how", ["least_squares", "reconstruct"])
def test_units_that_depend_on_the_others_are_handed_over_without_loss(how: str) -> None:
    model, x = net(activation=nn.Identity), rows(ROWS, 4)  # eight units of four inputs
    found = repaired(model, x, {"0": (0, 3, 6)}, how)
    fold = found.folds[0]
    assert fold.used == how
    assert fold.error_before > 1e-3
    assert fold.error_after < 1e-6
    torch.testing.assert_close(found.model(x), model(x), rtol=0, atol=2e-3)


@pytest.mark.parametrize("how", FOLDS)
def test_constant_units_are_handed_over_without_loss(how: str) -> None:
    model, x = net(), rows(ROWS, 4)
    with torch.no_grad():
        model[0].weight[[0, 3]] = 0.0
    found = repaired(model, x, {"0": (0, 3)}, how)
    assert found.folds[0].used == how
    torch.testing.assert_close(found.model(x), model(x), rtol=0, atol=2e-3 if how == "reconstruct" else 1e-6)


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_that_lost_all_units_is_folded_into_its_readers(how: str, bias: bool) -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 6, bias=bias)
            self.last = nn.Linear(6, 2)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).relu()
            return self.last(x + self.outer(self.inner(x).sigmoid()))

    model, x = Skip(), rows(ROWS, 4)
    found = repaired(model, x, {"inner": range(5)}, how)
    assert found.model.outer.weight.shape == (6, 0)
    branch = put_out_by(model, "outer", x)
    fitted = torch.arange(ROWS) % UNSEEN != UNSEEN - 1
    wanted = branch[fitted].mean(0)
    torch.testing.assert_close(found.model.outer.bias.detach(), wanted, rtol=1e-3, atol=1e-3)
    assert found.plan.biased == (() if bias else ("outer",))
