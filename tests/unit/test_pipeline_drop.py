"""How much quality a run may lose, and what is kept where it loses more."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipelines import assert_same_tensors, net, recipe, task_of, widths
from secateur.budget import Share
from secateur.errors import DataError
from secateur.pipeline import compress
from secateur.result import Result
from secateur.surgery import apply

pytestmark = pytest.mark.usefixtures("unmeasured")


def qualities(result: Result[nn.Module]) -> list[float]:
    return [step.measurement.quality["accuracy"] for step in result.steps]


def test_the_last_network_that_holds_the_allowed_drop_is_kept() -> None:
    free = compress(net(), task_of(), recipe(Share(0.9), rounds=4))
    losses = [100.0 - quality for quality in qualities(free)]
    allowed = losses[1]
    fails = next(number for number, loss in enumerate(losses) if loss > allowed)
    result = compress(net(), task_of(), recipe(Share(0.9), rounds=4, max_drop=allowed))
    assert [round_.kept for round_ in result.rounds] == [True] * (fails - 1) + [False]
    assert qualities(result) == qualities(free)[:fails]
    assert widths(result) == {"0": result.model[0].out_features, "2": result.model[2].out_features}
    assert_same_tensors(apply(net(), result.plan), result.model)
    reason = f"validation accuracy fell by {losses[fails]:.2f} points; {allowed:g} are allowed"
    assert result.rounds[-1].reason == reason
    assert result.notes == (f"round {fails} was not kept: {reason}.",)


def test_where_no_round_holds_the_original_is_what_remains() -> None:
    model = net()
    result = compress(model, task_of(), recipe(Share(0.9), max_drop=0.5))
    assert_same_tensors(result.model, model)
    assert widths(result) == {"0": 10, "2": 8}
    assert (len(result.steps), [round_.kept for round_ in result.rounds]) == (1, [False])
    assert result.plan.cuts == ()


def test_a_drop_without_validation_data_is_refused() -> None:
    with pytest.raises(DataError, match=r"max_drop=1 .* validation"):
        compress(net(), task_of(validation=False), recipe(Share(0.5), max_drop=1.0))
    assert compress(net(), task_of(validation=False), recipe(Share(0.5))).final.quality == {}


def test_a_quality_that_is_not_a_number_never_holds() -> None:
    base = task_of()
    model = net()
    before = torch.cat([model.eval()(x) for x, _ in base.validation]).detach()

    def sums(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.no_grad():
            return (output - model(batch[0])).abs().sum().double()[None]

    task = replace(base, metric="same", sums=sums, quality=lambda total: {"same": math.nan if total > 1e-3 else 100.0})
    result = compress(model, task, recipe(Share(0.5), max_drop=1e9))
    assert [round_.kept for round_ in result.rounds] == [False]
    assert len(before) == 60
