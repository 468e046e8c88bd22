"""Surgery verified: a network that is not the silenced one is found out."""

import pytest
import torch
from torch import Tensor, nn

from residual import Residual, rows
from secateur.budget import plan_of
from secateur.errors import ExactnessError, ModelError, PlanError
from secateur.finding import find_sites
from secateur.plan import Plan
from secateur.surgery import apply, certify
from secateur.task import Task
from secateur.tracing import sites_in, trace


def test_verification_needs_an_example() -> None:
    with pytest.raises(PlanError, match="example"):
        apply(Residual(), Plan("none"), verify=True)


def test_verification_takes_a_task() -> None:
    model = Residual()
    task = Task.regression(calibration=[(rows(40, 4), rows(40, 3))])
    plan = plan_of(find_sites(model, task), {"inner": (0,)})
    certificate = certify(apply(model, plan), model, plan, task)
    assert certificate.inputs.startswith("16 rows")
    assert certificate.relative_difference <= certificate.tolerance == 1e-5


def test_a_network_that_is_not_the_silenced_one_is_refused() -> None:
    model = Residual()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    small = apply(model, plan)
    with torch.no_grad():
        small.last.weight[0, 0] += 0.01
    with pytest.raises(ExactnessError, match=r"Residual: .* differs .*tolerance 1e-10"):
        certify(small, model, plan, rows(5, 4))


def test_a_network_cut_by_another_plan_is_refused() -> None:
    model = Residual()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"inner": (0, 1)}))
    with pytest.raises(ExactnessError, match="differs"):
        certify(small, model, plan_of(sites, {"inner": (1, 2)}), rows(5, 4))


def test_a_difference_in_a_later_output_counts() -> None:
    class Two(Residual):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.sum(-1), super().forward(x)

    model = Two()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    small = apply(model, plan)
    with torch.no_grad():
        small.last.bias[0] = float("nan")
    with pytest.raises(ExactnessError, match="nan"):
        certify(small, model, plan, rows(5, 4))


def test_outputs_that_are_no_numbers_are_compared_too() -> None:
    class Flagged(Residual):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            scores = super().forward(x)
            return scores, scores > 0

    model = Flagged()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    assert certify(apply(model, plan), model, plan, rows(5, 4)).relative_difference <= 1e-5


class Sized(nn.Module):
    """A forward that holds the width of its hidden layer."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Linear(4, 6), nn.Linear(6, 2), how

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        match self.how:
            case "divided by it":
                return self.last(hidden / hidden.shape[1])
            case "viewed as it":
                return self.last(hidden.view(-1, 6))
        return hidden.view(-1, 6).sum(1)


@pytest.mark.parametrize(
    ("how", "why"), [("divided by it", "differs"), ("viewed as it", "does not run"), ("", "puts out")]
)
def test_a_forward_that_holds_a_width_is_found_out(how: str, why: str) -> None:
    model = Sized(how)
    with pytest.raises(ModelError, match=f"first: 6 units, forward .*{why}"):
        find_sites(model, rows(6, 4))
    plan = plan_of(sites_in(trace(model, rows(6, 4))), {"first": (0, 1, 2)})
    with pytest.raises(ExactnessError, match=why) as raised:
        apply(model, plan, verify=True, example=rows(6, 4))
    assert "x.shape" in str(raised.value)


def test_a_mask_and_a_sum_are_silenced_where_they_are_read() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.register_buffer("mask", rows(6), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return (torch.exp(self.first(x)) * self.mask).sum(1, keepdim=True)

    model = Summed()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"first": (0, 3)}), verify=True, example=rows(5, 4))
    kept = [1, 2, 4, 5]
    assert torch.equal(small.mask, model.mask[kept])
    wanted = (model.first(rows(5, 4)).exp()[:, kept] * model.mask[kept]).sum(1, keepdim=True)
    torch.testing.assert_close(small(rows(5, 4)), wanted)
