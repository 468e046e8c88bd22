"""Models of several inputs, whatever these are called and whichever of them has rows."""

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur import methods
from secateur.budget import cost
from secateur.counting import count
from secateur.errors import ExactnessError
from secateur.scores import Scores
from secateur.tracing import trace


class Several(nn.Module):
    """Units that a first layer makes, a second reads, and another input shifts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 2)

    def hidden(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))


class Timed(Several):
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.second(self.hidden(x)) * t


class Weighed(Several):
    """A product with an input, which is named as an operator is."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return nn.functional.linear(self.second(self.hidden(x)), t)


class Scheduled(Several):
    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        return self.second(self.hidden(x)) + time


class Shifted(Several):
    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return self.second(self.hidden(x)) + table.sum()


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Timed, (torch.randn(2, 3), torch.rand(2, 1))),
        (Weighed, (torch.randn(2, 3), torch.rand(4, 2))),
        (Scheduled, (torch.tensor(0.5), torch.randn(2, 3))),
        (Shifted, (torch.randn(2, 3), torch.rand(16))),
    ],
)
def test_units_go_exactly_and_cost_what_is_counted(kind: type[Several], given: tuple[Tensor, ...]) -> None:
    torch.manual_seed(0)
    model = kind()
    sites = sc.find_sites(model, given)
    assert [site.units for site in sites] == [6]
    values = torch.tensor([3.0, 0.0, 4.0, 5.0, 1.0, 6.0], dtype=torch.float64)
    plan = sc.select(Scores("by hand", {sites.names[0]: values}), sites, sc.Count(2))
    small = sc.apply(model, plan, verify=True, example=given)
    assert cost(sites, {}).macs == count(trace(model, given)).macs
    with torch.no_grad():
        model.second.weight[:, [1, 4]] = 0.0
        torch.testing.assert_close(small(*given), model(*given))


def test_an_example_of_a_task_keeps_what_has_no_rows() -> None:
    table = torch.rand(3)
    rows = [(torch.randn(8, 3), torch.randint(2, (8,)))]
    task = sc.Task.classification(train=rows)
    with_table = sc.Task(**(vars(task) | {"arguments": lambda batch: ((batch[0], table), {})}))
    (x, kept), _ = with_table.example()
    assert (len(x), len(kept)) == (2, 3)
    assert [site.units for site in sc.find_sites(Shifted(), with_table)] == [6]


def test_a_unit_that_the_loss_does_not_see_matters_nothing_to_it() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.b(torch.relu(self.a(x))), self.d(torch.relu(self.c(x)))

    task = sc.Task.classification(train=[(torch.randn(16, 3), torch.randint(2, (16,)))] * 2)
    model = Two()
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, methods.get("taylor"))
    assert float(scores.values["a"].max()) > 0.0
    assert scores.values["c"].tolist() == [0.0] * 5


class Judged(nn.Module):
    """A network with a second output that is made of the first."""

    def __init__(self, second: str) -> None:
        super().__init__()
        self.first, self.last, self.second = nn.Linear(3, 4), nn.Linear(4, 2), second

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(self.first(x))
        return (y, y > 0) if self.second == "sign" else (y, y * float("nan"))


def test_outputs_that_are_no_numbers_are_compared_all_the_same() -> None:
    folded = sc.fold(Judged("sign"), (torch.randn(2, 3),))
    assert len(folded.edits) == 1


def test_an_output_of_nan_proves_nothing() -> None:
    with pytest.raises(ExactnessError, match="differs from the original by nan"):
        sc.fold(Judged("nan"), (torch.randn(2, 3),))
