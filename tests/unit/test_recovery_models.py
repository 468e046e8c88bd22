"""Recovery of models and data of every kind: frozen, normalised, diverging, tied; by name, in pairs, in streams."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.errors import CompressionError, DataError, SettingsError
from secateur.recovery import Recovery, recover, train
from secateur.task import Task
from trained import assert_differ, assert_same, net, pairs


def test_frozen_parameters_and_the_statistics_of_frozen_norms_stay() -> None:
    model = net(nn.BatchNorm1d(8))
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    found = recover(model, Task.classification(train=pairs()), Recovery(weight_decay=0.5))
    assert_same(found[0], model[0])
    assert_same(found[2], model[2])
    assert_differ(found[3], model[3])


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = net().requires_grad_(False)
    with pytest.raises(
        SettingsError, match=r"Sequential: none of its 4 parameters .* requires_grad_\(\), or set epochs=0"
    ):
        recover(model, Task.classification(train=pairs()), Recovery())
    with pytest.raises(SettingsError, match="none of its 0 parameters"):
        recover(nn.Flatten(), Task.classification(train=pairs()), Recovery())


def test_a_batch_that_a_batch_norm_refuses_is_left_out() -> None:
    model, batches = net(nn.BatchNorm1d(8)), pairs(33)
    assert len(batches[-1][0]) == 1
    found = train(model, Task.classification(train=batches), Recovery(epochs=2, schedule="constant"))
    wanted = train(model, Task.classification(train=batches[:-1]), Recovery(epochs=2, schedule="constant"))
    assert [epoch.loss for epoch in found.epochs] == [epoch.loss for epoch in wanted.epochs]
    for ours, theirs in zip(found.model.parameters(), wanted.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(found.model[2].running_var, wanted.model[2].running_var)


def test_batches_of_one_row_alone_are_refused_where_a_batch_norm_trains() -> None:
    singles = Task.classification(train=pairs(3, size=1))
    with pytest.raises(DataError, match=r"train: every batch has one value per channel.*at least two rows"):
        recover(net(nn.BatchNorm1d(8)), singles, Recovery())
    assert_differ(recover(net(), singles, Recovery()), net())


def test_errors_of_the_model_itself_come_through() -> None:
    class Picky(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            raise ValueError(f"not today, {len(inputs)}")

    with pytest.raises(ValueError, match="not today"):
        recover(Picky(4, 2), Task.classification(train=pairs(3, size=1)), Recovery())


def test_a_loss_that_diverges_names_epoch_batch_and_remedy() -> None:
    task = Task.regression(train=[(torch.ones(4, 4), torch.ones(4, 2))] * 3)
    settings = Recovery(learning_rate=1e30, optimizer="sgd", schedule="constant")
    with pytest.raises(
        CompressionError, match=r"epoch 1, batch 1: the loss is (inf|nan); lower the learning rate \(1e\+30;"
    ):
        recover(net(), task, settings)


def test_weights_that_diverge_in_the_last_step_are_refused() -> None:
    task = Task.regression(train=[(torch.ones(4, 4), 1e6 * torch.ones(4, 2))])
    settings = Recovery(epochs=1, learning_rate=3e38, optimizer="sgd")
    with pytest.raises(CompressionError, match=r"epoch 1, batch 0: \d\.\w+ holds NaN or infinity; lower the learning"):
        recover(net(), task, settings)


def test_weights_that_are_nan_from_the_start_are_not_blamed_on_the_learning_rate() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(CompressionError, match="epoch 1, batch 0: the loss is nan before any training; look for NaN"):
        recover(model, Task.classification(train=pairs()), Recovery())


def test_zeros_stay_zero_only_when_asked() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[:, 1] = 0.0
        model[0].weight[2, 0] = -0.0
        model[3 - 1].bias.zero_()
    zero = model[0].weight == 0
    task = Task.classification(train=pairs())
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.1}

    kept = recover(model, task, Recovery(keep_zeros=True, **settings))
    free = recover(model, task, Recovery(**settings))

    assert bool((kept[0].weight[zero] == 0).all())
    assert bool((kept[0].weight[~zero] != model[0].weight[~zero]).any())
    assert bool((kept[2].bias != 0).all())
    assert not bool((free[0].weight[zero] == 0).any())


def test_tied_weights_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = recover(model, Task.classification(train=pairs()), Recovery())
    assert found[2].weight is found[0].weight


class Streamed:
    """Batches that can be read again, but have no length."""

    def __init__(self, batches: list[Any]):
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, *, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(left + right)}


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, str]:
        return self.net(left + right), "beside"


def test_batches_of_every_kind_train_alike() -> None:
    plain = pairs()
    settings = Recovery(learning_rate=0.01)
    wanted = recover(net(), Task.classification(train=plain), settings)
    streamed = recover(net(), Task.classification(train=Streamed(plain)), settings)
    dicts = [{"left": inputs, "right": torch.zeros(4), "labels": targets} for inputs, targets in plain]
    named = recover(Named(), Task.classification(train=dicts), settings)
    doubles = [((inputs, torch.zeros(4)), targets) for inputs, targets in plain]
    two = recover(Two(), Task.classification(train=doubles), settings)

    assert_same(streamed, wanted)
    assert_same(named.net, wanted)
    assert_same(two.net, wanted)


def test_a_task_without_training_data_is_refused() -> None:
    with pytest.raises(DataError, match="no train data"):
        recover(net(), Task.classification(), Recovery())
    with pytest.raises(DataError, match="train"):
        recover(net(), Task.classification(train=[]), Recovery())
