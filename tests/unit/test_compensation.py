"""Compensation: closed forms against their theorems, and guards that never let it get worse."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network
from footprint import untouched
from secateur.budget import plan_of
from secateur.compensation import HOWS, Repaired, compensate, repair
from secateur.compensation.batches import UNSEEN, unseen_among
from secateur.compensation.layers import Layer, layers_of
from secateur.compensation.proposals import Proposal, Seen, _mean, proposals
from secateur.errors import ModelError, UnknownNameError
from secateur.finding import find_sites
from secateur.plan import Plan
from secateur.stats import Gram
from secateur.surgery import apply
from secateur.task import Task
from secateur.tracing import trace
from strategies import architectures, removals

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


# --- theorems ---------------------------------------------------------------------------------------------------------


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
    before, best = proposals(layer, seen, model[2].weight.detach(), old, "least_squares")
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


# --- what a fold says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("bias", [True, False])
def test_errors_are_those_of_the_networks_on_unseen_rows(how: str, bias: bool) -> None:
    model, x = net(bias=bias), rows(ROWS, 4)
    small, plan = cut(model, x, REMOVED)
    found = repair(small, model, plan, task_of(x), how=how)
    kept = [0, 2, 3, 4, 5]
    for fold, columns in zip(found.folds, (kept, [0, 1, 2]), strict=True):
        wanted = unseen(put_out_by(model, fold.layer, x)[:, columns])
        after = relative_error(unseen(put_out_by(found.model, fold.layer, x)), wanted)
        assert fold.error_after == pytest.approx(after, rel=1e-6)
    first = found.folds[0]
    wanted = unseen(put_out_by(model, first.layer, x)[:, kept])
    assert first.error_before == pytest.approx(
        relative_error(unseen(put_out_by(small, first.layer, x)), wanted), rel=1e-6
    )


@pytest.mark.parametrize("how", FOLDS)
def test_the_plan_says_what_took_over(how: str) -> None:
    found = repaired(net(bias=False), rows(ROWS, 4), REMOVED, how)
    used = [fold.used for fold in found.folds]
    assert [fold.layer for fold in found.folds] == ["2", "4"]
    assert [edit.taken_over_by for edit in found.plan.edits] == [f"2 ({used[0]})", f"4 ({used[1]})"]
    assert all(fold.asked == how for fold in found.folds)
    assert found.plan.biased == ("2", "4")
    assert apply(net(bias=False), found.plan)[2].bias is not None


def test_each_step_does_better_than_the_one_before() -> None:
    model, x = net(), rows(ROWS, 4)
    errors = [relative_error(repaired(model, x, REMOVED, how).model(x).detach(), model(x).detach()) for how in HOWS]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_nothing_asked_or_nothing_removed_leaves_an_equal_copy() -> None:
    model, x = net(), rows(ROWS, 4)
    small, plan = cut(model, x, REMOVED)
    for how, asked in (("none", plan), ("reconstruct", Plan("nothing"))):
        found = repair(small, model, asked, task_of(x), how=how)
        assert (found.folds, found.plan) == ((), asked)
        assert found.model is not small
        assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), small.parameters(), strict=True))


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_compensation_suggests_the_nearest() -> None:
    small, plan = cut(net(), rows(ROWS, 4), REMOVED)
    with pytest.raises(UnknownNameError, match="did you mean reconstruct"):
        repair(small, net(), plan, task_of(rows(ROWS, 4)), how="reconstuct")


# --- guards -----------------------------------------------------------------------------------------------------------


def test_a_mean_that_would_do_harm_is_refused_and_the_fold_says_so() -> None:
    """A unit that is one on all rows to fit on and minus one on the others: its mean is wrong where it is judged."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    x = rows(ROWS, 2)
    x[:, 0] = 1.0
    x[UNSEEN - 1 :: UNSEEN, 0] = -1.0
    small, plan = cut(model, x, {"0": (0,)})
    found = repair(small, model, plan, task_of(x), how="mean")
    fold = found.folds[0]
    assert (fold.asked, fold.used) == ("mean", "none")
    assert fold.reason == "no mean fold lowered the error on unseen rows"
    assert fold.error_before == fold.error_after
    assert found.plan.edits[0].taken_over_by == "nothing"
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), small.parameters(), strict=True))


def test_a_refused_fold_leaves_no_bias_behind() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    x = rows(ROWS, 2)
    x[:, 0] = 1.0
    x[UNSEEN - 1 :: UNSEEN, 0] = -1.0
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


# --- promises of every step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("batch", [1, 4])
def test_how_the_data_is_batched_does_not_matter(how: str, batch: int) -> None:
    model, x = net(), rows(ROWS, 4)
    found, wanted = repaired(model, x, REMOVED, how, batch), repaired(model, x, REMOVED, how)
    assert [fold.used for fold in found.folds] == [fold.used for fold in wanted.folds]
    for one, other in zip(found.model.parameters(), wanted.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 4, 23])
@pytest.mark.parametrize("places", [1, 3])
def test_rows_to_judge_by_are_those_of_every_fifth_example(batch: int, places: int) -> None:
    judging, before = [], 0
    for part in torch.arange(23).split(batch):
        examples = torch.arange(len(part)).repeat_interleave(places)
        found = unseen_among(examples, before=before, rows_before=before * places, total=23)
        judging += (examples + before)[found].tolist()
        before += len(part)
    assert judging == [example for example in (4, 9, 14, 19) for _ in range(places)]


def test_of_few_examples_every_fifth_row_judges() -> None:
    examples = torch.arange(2).repeat_interleave(6)
    assert unseen_among(examples, before=0, rows_before=0, total=2).nonzero().flatten().tolist() == [4, 9]


@pytest.mark.parametrize("how", FOLDS)
def test_too_few_rows_to_judge_by_change_nothing_and_say_so(how: str) -> None:
    model, x = net(), rows(4, 4)
    found = repaired(model, x, REMOVED, how)
    assert [fold.used for fold in found.folds] == ["none", "none"]
    assert found.folds[0].reason == "4 rows are too few to judge a fold; 5 are needed"


def test_no_more_rows_are_used_than_asked_for() -> None:
    model, x = net(), rows(ROWS, 4)
    small, plan = cut(model, x, REMOVED)
    found = compensate(small, model, plan, task_of(x), rows=50)
    wanted = compensate(small, model, plan, task_of(x[:50]))
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), wanted.parameters(), strict=True))


@pytest.mark.parametrize("how", FOLDS)
def test_compensating_leaves_both_networks_as_they_were_and_repeats_to_the_bit(how: str) -> None:
    model, x = net(bias=False).train(), rows(ROWS, 4)
    small, plan = cut(model, x, REMOVED)
    with untouched(model), untouched(small):
        first = compensate(small, model, plan, task_of(x), how=how)
        second = compensate(small, model, plan, task_of(x), how=how)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in first.parameters())
    assert first.training == model.training


def test_frozen_layers_are_mended_and_stay_frozen() -> None:
    model, x = net(), rows(ROWS, 4)
    model[2].requires_grad_(False)
    found = repaired(model, x, REMOVED, "reconstruct")
    assert found.folds[0].used == "reconstruct"
    assert not any(parameter.requires_grad for parameter in found.model[2].parameters())


def test_units_that_never_vary_give_finite_errors() -> None:
    model, x = net(activation=nn.Sigmoid), rows(ROWS, 4)
    with torch.no_grad():
        model[0].weight.zero_()
    for how in FOLDS:
        folds = repaired(model, x, REMOVED, how).folds
        assert all(0 <= fold.error_after <= fold.error_before < 1e3 for fold in folds)
        assert folds[0].error_after < 1e-6
