"""Compensation: what every fold says and every step promises."""

import pytest
import torch
from torch import nn

from compensated import FOLDS, REMOVED, ROWS, cut, net, put_out_by, relative_error, repaired, rows, task_of, unseen
from footprint import untouched
from secateur.compensation import HOWS, compensate, repair
from secateur.compensation.batches import unseen_among
from secateur.errors import UnknownNameError
from secateur.plan import Plan
from secateur.surgery import apply

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
