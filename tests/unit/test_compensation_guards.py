"""Compensation never lets it get worse: what would do harm is taken back, whatever the layers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network
from compensated import FOLDS, REMOVED, ROWS, cut, net, put_out_by, relative_error, repaired, rows, task_of, unseen
from secateur.budget import plan_of
from secateur.compensation import repair
from secateur.compensation.batches import UNSEEN
from secateur.errors import ModelError
from secateur.finding import find_sites
from secateur.surgery import apply
from secateur.task import Task
from strategies import architectures, removals


def misled(bias: bool = True) -> tuple[nn.Sequential, Tensor]:
    """A unit that is one on all rows to fit on and minus one on the others: its mean is wrong where it is judged."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 1, bias=bias)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    x = rows(ROWS, 2)
    x[:, 0] = 1.0
    x[UNSEEN - 1 :: UNSEEN, 0] = -1.0
    return model, x


# --- guards -----------------------------------------------------------------------------------------------------------


def test_a_mean_that_would_do_harm_is_refused_and_the_fold_says_so() -> None:
    model, x = misled()
    small, plan = cut(model, x, {"0": (0,)})
    found = repair(small, model, plan, task_of(x), how="mean")
    fold = found.folds[0]
    assert (fold.asked, fold.used) == ("mean", "none")
    assert fold.reason == "no mean fold lowered the error on unseen rows"
    assert fold.error_before == fold.error_after
    assert found.plan.edits[0].taken_over_by == "nothing"
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), small.parameters(), strict=True))


def test_a_refused_fold_leaves_no_bias_behind() -> None:
    model, x = misled(bias=False)
    found = repaired(model, x, {"0": (0,)}, "mean")
    assert found.model[2].bias is None
    assert found.plan.biased == ()


def test_folds_that_together_do_harm_are_all_taken_back() -> None:
    """The first layer's outputs come nearer to the original's, but what is made of them does not."""

    class Folded(nn.Module):
        """Only the sign of the hidden layer's output matters, and the mean fold turns it."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 1)
            self.double()
            with torch.no_grad():
                self.first.weight.copy_(torch.eye(2))
                self.first.bias.zero_()
                self.last.weight.copy_(torch.tensor([[1.0, 1.0]]))
                self.last.bias.zero_()

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.last(self.first(x))
            return (hidden * 40.0).sigmoid()

    x = torch.full((ROWS, 2), -0.3, dtype=torch.float64)
    x[:, 0] = 0.6
    x[UNSEEN - 1 :: UNSEEN, 0] = torch.tensor([0.1, 0.1, 0.1, 0.1, 4.0], dtype=torch.float64).repeat(ROWS // 25)
    model = Folded()
    small, plan = cut(model, x, {"first": (0,)})
    found = repair(small, model, plan, task_of(x), how="mean")
    fold = found.folds[0]
    assert fold.used == "none"
    assert "together the folds took the output further from the original's" in fold.reason
    assert fold.error_after == fold.error_before
    assert found.plan.edits[0].taken_over_by == "nothing"
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), small.parameters(), strict=True))


@settings(max_examples=12)
@given(architectures(blocks=2), st.sampled_from(FOLDS), st.booleans(), st.data())
def test_compensation_never_takes_the_output_further_from_the_originals(
    architecture: Architecture, how: str, classify: bool, data: st.DataObject
) -> None:
    model = Network(architecture).eval()
    shape = (60, architecture.tokens, architecture.features) if architecture.tokens else (60, architecture.features)
    x = rows(*shape).float()
    make = Task.classification if classify else Task.regression
    task = make(calibration=[(part, part) for part in x.split(13)])
    try:
        sites = find_sites(model, x)
    except ModelError:
        return
    plan = plan_of(sites, data.draw(removals(sites)))
    small = apply(model, plan).eval()
    found = repair(small, model, plan, task, how=how)
    with torch.no_grad():
        wanted = model(unseen(x))
        before, after = (
            float(task.distance(network.eval()(unseen(x)), wanted, 1.0)) for network in (small, found.model)
        )
    assert after <= before * (1 + 1e-4) + 1e-9
    assert all(fold.error_after <= fold.error_before for fold in found.folds)
    assert {edit.site: edit.removed for edit in found.plan.edits} == {edit.site: edit.removed for edit in plan.edits}


# --- any layer --------------------------------------------------------------------------------------------------------


class Handwritten(nn.Module):
    """Layers without modules; the bias of the last is not a parameter but made of one."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.weight, self.bias = nn.Parameter(rows(6, 4)), nn.Parameter(rows(6))
        self.read, self.shift = nn.Parameter(rows(3, 6)), nn.Parameter(rows(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.linear(x, self.weight, self.bias).tanh()
        match self.how:
            case "with its bias":
                return F.linear(hidden, self.read, self.shift)
            case "without one":
                return F.linear(hidden, self.read)
        return F.linear(hidden, self.read, 2.0 * self.shift)


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("kind", ["with its bias", "without one", "a bias that is made"])
def test_layers_written_by_hand_are_mended_too(kind: str, how: str) -> None:
    model, x = Handwritten(kind), rows(ROWS, 4)
    found = repaired(model, x, {"weight": (1, 4)}, how)
    fold = found.folds[0]
    assert fold.layer == "read"
    if how == "mean" and kind != "with its bias":
        assert fold.used == "none"  # there is nothing that could take a constant
    else:
        assert fold.used == how
        assert torch.equal(found.model.shift, model.shift) or kind == "with its bias"
    after = relative_error(unseen(found.model(x)), unseen(model(x))) if fold.used != "none" else fold.error_after
    assert after == pytest.approx(fold.error_after, rel=1e-6)


def test_a_constant_that_nothing_can_take_after_all_units_went_is_left_out() -> None:
    class Skip(Handwritten):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3] + super().forward(x)

    for how in FOLDS:
        found = repaired(Skip("without one"), rows(ROWS, 4), {"weight": range(6)}, how)
        assert [fold.used for fold in found.folds] == ["none"]


@pytest.mark.parametrize("how", FOLDS)
def test_where_a_layer_ends_a_branch_the_sum_is_what_must_be_met(how: str) -> None:
    class Residual(nn.Module):
        """Two branches one after the other: errors of the first are in the skip around the second."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.inner, self.outer, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).tanh()
            x = x + self.two(self.one(x).tanh())
            return self.last(x + F.dropout(self.outer(self.inner(x).tanh()), training=self.training))

    def skip_of(model: nn.Module) -> Tensor:
        return (put_out_by(model, "first", x).tanh() + put_out_by(model, "two", x)).detach()

    torch.manual_seed(3)
    model, x = Residual(), rows(ROWS, 4)
    small, plan = cut(model, x, {"one": (0, 1, 2, 3, 4), "inner": (0, 1, 2, 3), "first": (2, 5)})
    found = repair(small, model, plan, task_of(x), how=how)
    kept = [0, 1, 3, 4, 6, 7]
    whole = (put_out_by(model, "outer", x) + skip_of(model))[:, kept]
    mended = put_out_by(found.model, "outer", x) + skip_of(found.model)
    (fold,) = [fold for fold in found.folds if fold.layer == "outer"]
    missed = (unseen(mended) - unseen(whole)).square().mean()
    wanted = unseen(whole - skip_of(found.model))  # what is left for the branch to put out
    assert fold.used == how
    assert fold.error_after == pytest.approx(float(missed / wanted.var(0, correction=0).mean()), rel=1e-5)


def test_a_layer_used_twice_is_mended_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.again(self.again(self.first(x).tanh()).tanh()).tanh())

    found = repaired(Twice(), rows(ROWS, 4), {"first": (0, 2)}, "reconstruct")
    assert sorted(fold.layer for fold in found.folds) == ["again", "last"]


@pytest.mark.parametrize("how", FOLDS)
def test_positions_count_as_rows(how: str) -> None:
    model, x = net(), rows(ROWS // 5, 5, 4)
    found = repaired(model, x, REMOVED, how)
    assert any(fold.used != "none" for fold in found.folds)
    in_turns = x.unflatten(0, (-1, UNSEEN)).transpose(1, 2)  # every fifth row is of an example that judges
    flat = repaired(model, in_turns.reshape(-1, 4), REMOVED, how)
    for fold, other in zip(found.folds, flat.folds, strict=True):
        assert fold.error_after == pytest.approx(other.error_after, rel=1e-9)
