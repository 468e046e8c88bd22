"""Tracing: the graph computes what the model does, on any batch; the model is left as found; costs are counted."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur.errors import DataError, ModelError
from secateur.finding import find_sites
from secateur.graph import Walk, operator_of
from secateur.sites import TensorCost
from secateur.task import Task
from secateur.tracing import count, trace


def rows(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)


class Two(Base):
    """Two inputs, a scale and a choice."""

    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0, *, flipped: bool = False) -> Tensor:
        left, right = (right, left) if flipped else (left, right)
        return self.last(self.first(left).relu() * scale + self.second(right).tanh())


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
        count(model, rows(5, 4))


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


# --- refusals ---------------------------------------------------------------------------------------------------------


def _random(model: Base, x: Tensor) -> Any:
    return model.last(model.first(x) * torch.rand(6))


def _by_value(model: Base, x: Tensor) -> Any:
    return model.last(model.first(x)) if x.sum() > 0 else x


def _no_tensor(*_: Any) -> Any:
    return "nothing"


def _outside(model: Base, x: Tensor) -> Any:
    return model.last(model.first(torch.from_numpy(x.numpy())))


def _wrong_key(_: Base, x: Tensor) -> Any:
    return {"x": x}["y"]


class Given(Base):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Any:
        return self.what(self, x)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (_random, "does not compute what the model does"),
        (_by_value, "torch.export cannot follow"),
        (_no_tensor, "holds no tensor"),
        (_outside, "torch.export cannot follow"),
        (_wrong_key, "fails on the example"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_forward_that_cannot_be_followed_is_refused(
    what: Any, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=found) as raised:
        find_sites(Given(what), rows(5, 4))
    assert str(raised.value).startswith("Given: ")
    capsys.readouterr()  # torch prints the graph so far


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with torch.no_grad():
        model[1].weight[0, :2] = value
    with pytest.raises(ModelError, match=r"1\.weight: 2 of 18 weights"):
        find_sites(model, rows(5, 4))


def test_weights_without_values_are_refused() -> None:
    with pytest.raises(ModelError, match=r"0\.weight: has no values yet"):
        find_sites(nn.Sequential(nn.LazyLinear(6), nn.Linear(6, 3)), rows(5, 4))
    with pytest.raises(ModelError, match=r"0\.weight: has no values yet"):
        find_sites(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).to("meta"), rows(5, 4))


def test_an_example_of_the_wrong_shape_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="fails on the example: mat1 and mat2") as raised:
        find_sites(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), rows(5, 7))
    assert "\n" not in str(raised.value)


def test_a_missing_argument_is_refused() -> None:
    with pytest.raises(ModelError, match=r"fails on the example: .*missing 1 required"):
        find_sites(Two(), rows(5, 4))


# --- costs ------------------------------------------------------------------------------------------------------------


def costs_of(model: nn.Module, example: Any) -> dict[str, TensorCost]:
    return {cost.name: cost for cost in count(model, example)[0]}


def test_each_entry_of_a_weight_costs_one_multiply_add_for_each_position() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    costs = costs_of(model, rows(5, 4))
    assert {name: cost.macs_per_entry for name, cost in costs.items() if cost.macs_per_entry} == {
        "0.weight": 1.0,
        "3.weight": 1.0,
    }
    assert {name: cost.shape for name, cost in costs.items()} == {
        name: tuple(tensor.shape) for name, tensor in model.state_dict().items()
    }
    assert {name for name, cost in costs.items() if cost.is_parameter} == dict(model.named_parameters()).keys()
    assert costs_of(nn.Linear(4, 6), rows(5, 7, 4))["weight"].macs_per_entry == 7.0


class Products(nn.Module):
    """One weight used twice, two weights that are one, and every way to multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.turned, self.added = nn.Parameter(rows(3, 4)), nn.Parameter(rows(3, 2))
        self.register_buffer("mask", torch.ones(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.other(self.one(self.twice(self.twice(x)))) * self.mask
        return torch.addmm(torch.zeros(2), x @ self.turned.T, self.added)


def test_what_is_used_twice_costs_twice_and_what_is_tied_counts_once() -> None:
    costs = costs_of(Products(), rows(5, 4))
    (tied,) = {"one.weight", "other.weight"} & costs.keys()
    macs = {name: cost.macs_per_entry for name, cost in costs.items() if cost.macs_per_entry}
    assert macs == {"twice.weight": 2.0, tied: 2.0, "turned": 1.0, "added": 1.0}
    assert sum(torch.Size(c.shape).numel() for c in costs.values() if c.is_parameter) == sum(
        parameter.numel() for parameter in Products().parameters()
    )
    assert costs["mask"] == TensorCost("mask", (4,), 0.0, is_parameter=False)


def test_products_that_are_not_counted_are_named() -> None:
    class Attention(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.softmax(self.first(x) @ self.second(x).transpose(-1, -2), -1) @ self.first(x))

    assert count(Attention(), rows(2, 5, 4))[1] == ("matmul",)
    assert count(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), rows(5, 4))[1] == ()
    assert count(nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten(), nn.Linear(12, 3)), rows(5, 2, 4))[1] == ("conv1d",)


# --- examples ---------------------------------------------------------------------------------------------------------


def test_a_task_serves_as_an_example() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    batch = rows(5, 4), torch.zeros(5, dtype=torch.long)
    assert find_sites(model, Task.classification(train=[batch])) == find_sites(model, rows(5, 4))


def test_a_task_without_data_is_refused() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        find_sites(nn.Linear(4, 3), Task.classification())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """torch logs what it cannot follow."""
    caplog.set_level("CRITICAL")
