"""Masks: how many weights each layer gives, which these are, and that they stay zero."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from footprint import untouched
from secateur import methods
from secateur.activations import find_activations
from secateur.errors import ModelError, SettingsError
from secateur.masking import allotted, importances, mask, rows_of
from secateur.methods.nepenthe import Nepenthe
from secateur.recovery import Recovery, recover
from secateur.scores import Scores
from secateur.task import Task

# --- how many ---------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(0, 40)), min_size=1, max_size=6)


@given(NUMBERS, st.integers(0, 200))
def test_the_budget_is_given_as_far_as_there_is_room(layers: list[tuple[float, int]], budget: int) -> None:
    importances, room = (list(part) for part in zip(*layers, strict=True))
    given = allotted(importances, room, budget)
    assert all(0 <= number <= most for number, most in zip(given, room, strict=True))
    assert sum(given) == min(budget, sum(room))


def test_shares_are_the_softmax_of_how_small_importances_are() -> None:
    importances = [1.0, 2.0, 1.5, 0.0]
    ratios = torch.tensor([4.5 / 1.0, 4.5 / 2.0, 4.5 / 1.5, 0.0], dtype=torch.float64)
    wanted = torch.softmax(ratios, 0) * 100_000
    given = allotted(importances, [10**6] * 4, 100_000)
    assert max(abs(number - float(share)) for number, share in zip(given, wanted, strict=True)) < 1


def test_a_full_layers_rest_goes_to_the_others_by_their_shares() -> None:
    importances = [1.0, 2.0, 2.0, 0.5]
    given = allotted(importances, [10, 1000, 1000, 30], 540)
    assert given == [10, 250, 250, 30]  # equal ones share equally what the others have no room for


def test_a_layer_that_is_nearly_nothing_comes_first_and_gives_all_it_has() -> None:
    assert allotted([1e-300, 1.0, 1.0], [7, 50, 50], 9) == [7, 1, 1]
    assert allotted([5e-324, 1e300], [7, 50], 9) == [7, 2]


def test_equal_layers_share_equally_and_the_first_has_what_is_over() -> None:
    assert allotted([1.0, 1.0, 1.0], [10, 10, 10], 8) == [3, 3, 2]


# --- which ------------------------------------------------------------------------------------------------------------


def net() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).double()


def task_of(model: nn.Module, features: int = 3) -> Task:
    x = torch.randn(64, features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        batches = [(part, model(part).argmax(1)) for part in x.split(16)]
    return Task.classification(train=batches, calibration=batches)


def masked(model: nn.Module, task: Task, zeta: float) -> nn.Module:
    sites = find_activations(model, task)
    return mask(model, sites, Nepenthe().entropies(model, sites, task), zeta)


def zeros(model: nn.Module) -> list[int]:
    return [int((layer.weight == 0).sum()) for layer in model if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("zeta", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_weights_goes_the_smallest_of_each_layer(zeta: float) -> None:
    model = net()
    task = task_of(model)
    with untouched(model):
        small = masked(model, task, zeta)
    lively = [Nepenthe().entropies(model, find_activations(model, task), task).values[name] > 0 for name in ("1", "3")]
    room = sum(int(layer.weight[units].numel()) for layer, units in zip((model[0], model[2]), lively, strict=True))
    assert sum(zeros(small)) == min(round(zeta * 48), room)
    assert zeros(small)[-1] == 0  # nothing is rectified behind the last layer
    for number, units in zip((0, 2), lively, strict=True):
        before, after = model[number].weight[units].abs(), small[number].weight[units]
        gone = after == 0
        assert torch.equal(small[number].weight[~units], model[number].weight[~units])
        assert torch.equal(after[~gone], model[number].weight[units][~gone])
        assert not gone.any() or gone.all() or before[gone].max() < before[~gone].min()
        assert torch.equal(small[number].bias, model[number].bias)


def test_units_that_are_always_on_keep_their_weights() -> None:
    model = net()
    with torch.no_grad():
        model[0].bias[2], model[0].bias[4] = 100.0, -100.0
    small = masked(model, task_of(model), 1.0)
    assert [bool(row.any()) for row in small[0].weight] == [False, False, True, False, True, False]


def test_the_next_mask_counts_what_is_left() -> None:
    model = net()
    task = task_of(model)
    first = masked(model, task, 0.25)
    second = masked(first, task, 0.25)
    assert sum(zeros(first)) == 12
    assert sum(zeros(second)) == 12 + 9
    assert all(
        bool((after.weight[before.weight == 0] == 0).all())
        for before, after in zip(first[::2], second[::2], strict=True)
    )


def test_training_keeps_what_is_masked_at_zero() -> None:
    model = net()
    task = task_of(model)
    small = masked(model, task, 0.25)
    settings = {"epochs": 2, "learning_rate": 0.05, "optimizer": "sgd", "weight_decay": 0.01}
    trained = recover(small, task, Recovery(keep_zeros=True, **settings))
    assert zeros(trained) == zeros(small)
    assert not torch.equal(trained[0].weight, small[0].weight)
    assert sum(zeros(recover(small, task, Recovery(**settings)))) < sum(zeros(small))


def test_a_layer_without_weights_is_linear_and_scores_nothing() -> None:
    model = net()
    task = task_of(model)
    with torch.no_grad():
        model[2].weight.zero_()
    scores = methods.score(model, find_activations(model, task), task, "nepenthe").values
    assert float(scores["3"]) == 0.0 < float(scores["1"])


def test_the_rarer_state_may_be_as_rare_as_the_tolerance() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    x = torch.ones(100, 1, dtype=torch.float64)
    x[3] = -1.0
    task = Task.regression(calibration=[(x, x)])
    sites = find_activations(model, task)
    for tolerance, is_linear in ((0.011, True), (0.01, True), (0.0099, False)):
        value = methods.score(model, sites, task, Nepenthe(tolerance=tolerance)).values["1"]
        assert (float(value) == 0.0) is is_linear


# --- whose weights ----------------------------------------------------------------------------------------------------


class Summed(nn.Module):
    """Two layers lead to the second activation, one of them to the first as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.act, self.out = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(self.out(x + self.last(self.act(x))))


def test_a_weight_counts_for_the_first_activation_that_it_leads_to() -> None:
    rows = rows_of(Summed(), find_activations(Summed(), torch.randn(4, 3)))
    assert {name: [part.tensor for part in parts] for name, parts in rows.items()} == {
        "act": ["first.weight"],
        "out": ["last.weight"],
    }


@pytest.mark.parametrize(
    ("layer", "axis"), [(nn.Linear(4, 4), 0), (Conv1D(4, 4), 1), (nn.Linear(4, 6), 0), (Conv1D(6, 4), 1)]
)
def test_rows_lie_along_the_axis_of_the_outputs(layer: nn.Module, axis: int) -> None:
    width = 6 if layer.weight.numel() > 16 else 4
    model = nn.Sequential(nn.Linear(3, 4), layer, nn.ReLU(), nn.Linear(width, 2)).double()
    nn.init.normal_(layer.bias)
    task = task_of(model)
    sites = find_activations(model, task)
    (rows,) = rows_of(model, sites)["2"]
    assert (rows.tensor, rows.axis) == ("1.weight", axis)
    ones = {"2": torch.zeros(width, dtype=torch.float64).index_fill(0, torch.tensor([1]), 1.0)}
    small = mask(model, sites, Scores("entropy", ones), 1.0)
    assert [bool(unit.any()) for unit in small[1].weight.movedim(axis, 0)] == [n != 1 for n in range(width)]
    assert importances(model, sites, ones) == pytest.approx([layer.weight.movedim(axis, 0)[1].abs().mean().item()])


def test_transposed_convolutions_have_their_outputs_second() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(3, 3, 2), nn.ReLU(), nn.Conv2d(3, 1, 1))
    (rows,) = rows_of(model, find_activations(model, torch.randn(2, 3, 4, 4)))["1"]
    assert rows.axis == 1


class Beside(nn.Module):
    """What two layers make side by side goes through one activation."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.act, self.head = nn.Linear(3, 2), nn.Linear(3, 4), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(torch.cat([self.left(x), self.right(x)], 1)))


def test_where_no_weight_has_a_row_for_each_unit_it_is_refused() -> None:
    model = Beside().double()
    task = task_of(model)
    with pytest.raises(ModelError, match=r"act: none of left.weight, right.weight has a row for each of its 6 units"):
        methods.score(model, find_activations(model, task), task, "nepenthe")


def test_scores_of_another_model_are_refused() -> None:
    model = net()
    sites = find_activations(model, torch.randn(4, 3).double())
    with pytest.raises(ModelError, match="1: no entropies for 6 units"):
        mask(model, sites, Scores("entropy", {}), 0.5)
    with pytest.raises(ModelError, match="1: 5 entropies for 6 units"):
        mask(model, sites, Scores("entropy", {"1": torch.ones(5).double()}), 0.5)


@pytest.mark.parametrize("zeta", [-0.1, 1.1, math.nan])
def test_a_share_out_of_range_is_refused(zeta: float) -> None:
    model = net()
    with pytest.raises(SettingsError, match="zeta"):
        masked(model, task_of(model), zeta)


def test_masking_twice_gives_the_same_bits() -> None:
    model = net()
    task = task_of(model)
    for first, second in zip(*(masked(copy.deepcopy(model), task, 0.4).parameters() for _ in range(2)), strict=True):
        assert torch.equal(first, second)
