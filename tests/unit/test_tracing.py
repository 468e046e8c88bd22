"""Tracing: the graph computes what the model does, on any batch, and the model is left as found."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur.errors import DataError, ModelError
from secateur.finding import find_sites
from secateur.graph import Walk, operator_of
from secateur.task import Task
from secateur.tracing import trace
from traced import Base, Two, rows

pytestmark = pytest.mark.usefixtures("quiet")


# --- the graph --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_the_graph_computes_what_the_model_does_for_any_number_of_rows(batch: int) -> None:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(6, 3)
    ).eval()
    traced = trace(model, rows(3, 4))
    torch.testing.assert_close(traced.run(((rows(batch, 4),), {})), model(rows(batch, 4)))


def test_an_example_of_one_row_serves_for_any_number() -> None:
    class Folding(Base):
        def forward(self, x: Tensor) -> Tensor:
            pairs = self.first(x).view(x.shape[0], 2, 3).transpose(1, 2)
            return self.last(pairs.reshape(x.shape[0], 6))

    model = Folding()
    torch.testing.assert_close(trace(model, rows(1, 4)).run(((rows(5, 4),), {})), model(rows(5, 4)))


def test_keyword_arguments_may_come_in_any_order() -> None:
    model = Two()
    left, right = rows(5, 4), rows(5, 4, seed=9)
    traced = trace(model, {"right": right, "left": left})
    for given in ({"left": left, "right": right}, {"right": right, "left": left}):
        torch.testing.assert_close(traced.run(((), given)), model(left, right))


def test_positional_and_keyword_arguments_may_be_mixed() -> None:
    model = Two()
    left, right = rows(5, 4), rows(5, 4, seed=9)
    task = Task.of(
        metric="none",
        loss=lambda *_: torch.zeros(()),
        sums=lambda *_: torch.zeros(1),
        quality=lambda _: {"none": 0.0},
        distance=lambda *_: torch.zeros(()),
        arguments=lambda batch: ((batch[0],), {"right": batch[1], "flipped": True}),
        calibration=[(left, right)],
    )
    torch.testing.assert_close(trace(model, task).run(task.arguments((left, right))), model(left, right, flipped=True))


def test_arguments_of_any_number_are_followed() -> None:
    class Any(Base):
        def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
            return self.last(sum(self.first(x) for x in inputs) + self.second(named["more"]))

    model = Any()
    x, y, z = rows(5, 4), rows(5, 4, seed=9), rows(5, 4, seed=10)

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *inputs: Tensor) -> Tensor:
            return self.inner(*inputs[:2], more=inputs[2])

    torch.testing.assert_close(trace(Wrapper(), (x, y, z)).run(((x, y, z), {})), model(x, y, more=z))


def test_nested_inputs_and_outputs_keep_their_structure() -> None:
    class Nested(Base):
        def forward(self, pair: tuple[Tensor, Tensor]) -> dict[str, Any]:
            hidden = self.first(pair[0]) + self.second(pair[1])
            return {"logits": self.last(hidden), "all": [hidden, hidden.relu()]}

    model = Nested()
    pair = rows(5, 4), rows(5, 4, seed=9)
    found, wanted = trace(model, (pair,)).run(((pair,), {})), model(pair)
    assert found.keys() == wanted.keys()
    torch.testing.assert_close(found["logits"], wanted["logits"])
    torch.testing.assert_close(found["all"], wanted["all"])


def test_an_input_that_is_not_used_does_no_harm() -> None:
    class Unused(Base):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            del mask
            return self.last(self.first(x))

    assert find_sites(Unused(), (rows(5, 4), rows(5, 4))).names == ("first",)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (((), {"left": 0, "right": 0, "scale": 3.0}), "scale is 3.0, after 2.0"),
        (((), {"left": 0, "right": 0}), "keyword arguments left, right, but the first batch had left, right, scale"),
        (((0, 0, 2.0), {}), "keyword arguments none"),
    ],
)
def test_batches_that_are_called_otherwise_than_the_first_are_refused(given: Any, found: str) -> None:
    traced = trace(Two(), {"left": rows(5, 4), "right": rows(5, 4), "scale": 2.0})
    args, kwargs = given
    args = tuple(rows(5, 4) if value == 0 else value for value in args)
    kwargs = {name: rows(5, 4) if value == 0 else value for name, value in kwargs.items()}
    with pytest.raises(DataError, match=found):
        traced.run((args, kwargs))


def test_too_few_inputs_are_refused() -> None:
    traced = trace(Two(), (rows(5, 4), rows(5, 4)))
    with pytest.raises(DataError, match="1 inputs, but the first batch had 2"):
        traced.run(((rows(5, 4),), {}))


def test_the_graph_sees_weights_that_change_in_place() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    traced = trace(model, rows(5, 4))
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    torch.testing.assert_close(traced.run(((rows(5, 4),), {})), model(rows(5, 4)))


def test_a_walk_forgets_what_nobody_needs_any_more() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Tanh(), nn.Linear(6, 3))
    traced = trace(model, rows(5, 4))
    walk = Walk(traced, ((rows(5, 4),), {}))
    nodes = []
    for node in walk:
        walk.set(node, walk.operator(node)(*walk.arguments(node)))
        nodes.append(node)
    assert [operator_of(node) for node in nodes] == ["linear", "relu", "tanh", "linear"]
    assert not any(walk.knows(node) for node in nodes[:-1])
    torch.testing.assert_close(walk.output, model(rows(5, 4)))


# --- the model is left as found ---------------------------------------------------------------------------------------


class Counting(Base):
    """Counts its calls in a buffer, in place or by a new one, and updates statistics even in eval mode."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("variance", torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        match self.how:
            case "in place":
                self.calls.add_(1)
            case "anew":
                self.calls = self.calls + 1
            case "statistics":
                hidden = nn.functional.batch_norm(hidden, self.mean, self.variance, training=True)
        return self.last(hidden.relu())


@pytest.mark.parametrize("how", ["in place", "anew", "statistics"])
def test_buffers_that_a_forward_changes_are_put_back(how: str) -> None:
    model = Counting(how)
    with untouched(model):
        find_sites(model, rows(5, 4))


def test_modes_gradients_and_random_state_are_left_as_found() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.ReLU(), nn.Linear(6, 3)).train()
    model[1].eval()
    model[0].requires_grad_(False)
    model.register_forward_hook(lambda *_: None)
    model(rows(5, 4)).sum().backward()
    with untouched(model):
        find_sites(model, rows(5, 4))


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.Hardtanh(inplace=True)])
def test_a_model_that_changes_its_input_is_refused_and_the_input_kept(first: nn.Module) -> None:
    model = nn.Sequential(first, nn.Linear(4, 6), nn.Linear(6, 3))
    x = rows(5, 4)
    with pytest.raises(ModelError, match=r"Sequential: .* input in place.*clone"):
        find_sites(model, x)
    assert torch.equal(x, rows(5, 4))


def test_changing_hidden_values_in_place_is_fine() -> None:
    class InPlace(Base):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x)
            hidden.relu_().add_(self.second(x).mul_(0.5))
            return self.last(hidden)

    assert find_sites(InPlace(), rows(5, 4)).names == ("first",)


# --- examples ---------------------------------------------------------------------------------------------------------


def test_a_task_serves_as_an_example() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    batch = rows(5, 4), torch.zeros(5, dtype=torch.long)
    assert find_sites(model, Task.classification(train=[batch])) == find_sites(model, rows(5, 4))


def test_a_task_without_data_is_refused() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        find_sites(nn.Linear(4, 3), Task.classification())
