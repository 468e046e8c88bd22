"""Which epoch of a recovery is kept, and how it ends: by validation, patience or Ctrl-C."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from accelerate.state import PartialState

from secateur.errors import SettingsError
from secateur.recovery import Recovered, Recovery, recover, train
from secateur.result import Event
from secateur.task import Task
from trained import accuracy, assert_same, net, pairs


def interrupt_at(step: int) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if event.done == step:
            raise KeyboardInterrupt

    return watch


def test_training_never_ends_worse_on_validation_than_it_began() -> None:
    model = recover(net(), Task.classification(train=pairs()), Recovery(epochs=20, learning_rate=0.05))
    wrong = [(inputs, 1 - targets) for inputs, targets in pairs()]
    validation = pairs(64, seed=2)

    found = train(model, Task.classification(train=wrong, validation=validation), Recovery(learning_rate=0.1))

    assert all(epoch.quality < accuracy(model, validation) for epoch in found.epochs)
    assert (found.best_epoch, len(found.epochs)) == (0, 3)
    assert_same(found.model, model)


def test_the_best_epoch_on_validation_is_kept() -> None:
    validation = pairs(200, seed=2)
    settings = Recovery(epochs=8, learning_rate=0.3, optimizer="sgd", momentum=0.95, schedule="constant")

    found = train(net(), Task.classification(train=pairs(64, 8), validation=validation), settings)

    qualities = [epoch.quality for epoch in found.epochs]
    assert found.best_epoch == 1 + qualities.index(max(qualities))
    assert qualities[-1] < max(qualities)
    assert accuracy(found.model, validation) == pytest.approx(max(qualities))


def test_a_tie_goes_to_the_earlier_epoch() -> None:
    model, batches = net(), pairs()
    task = Task.classification(train=batches, validation=[(batches[0][0][:1], batches[0][1][:1])])
    model = recover(model, task, Recovery(epochs=9, learning_rate=0.05))
    found = train(model, task, Recovery())
    assert [epoch.quality for epoch in found.epochs] == [100.0] * 3
    assert found.best_epoch == 0


def test_a_quality_that_is_nan_is_worse_than_any() -> None:
    qualities = iter([math.nan, math.nan, -5.0, math.nan])
    batches = pairs()
    task = Task.of(
        metric="odd",
        loss=lambda output, batch: F.cross_entropy(output, batch[1]),
        sums=lambda *_: torch.zeros(1, dtype=torch.float64),
        quality=lambda _: {"odd": next(qualities)},
        distance=lambda student, teacher, _: F.mse_loss(student, teacher),
        train=batches,
        validation=batches,
    )
    assert train(net(), task, Recovery()).best_epoch == 2


def test_patience_ends_training_after_so_many_epochs_without_gain() -> None:
    wrong = [(inputs, 1 - targets) for inputs, targets in pairs()]
    model = recover(net(), Task.classification(train=pairs()), Recovery(epochs=20, learning_rate=0.05))
    task = Task.classification(train=wrong, validation=pairs(64, seed=2))
    found = train(model, task, Recovery(epochs=9, learning_rate=0.1, patience=2))
    assert [epoch.epoch for epoch in found.epochs] == [1, 2]


def test_patience_needs_validation_data() -> None:
    with pytest.raises(SettingsError, match="patience: 2, but the task has no validation data"):
        train(net(), Task.classification(train=pairs()), Recovery(patience=2))


def test_ctrl_c_keeps_the_epochs_that_are_finished() -> None:
    model, task = net(), Task.classification(train=pairs())
    whole = train(model, task, Recovery(epochs=1, schedule="constant"))
    broken = train(model, task, Recovery(epochs=3, schedule="constant"), watch=interrupt_at(9))
    assert (broken.interrupted, broken.best_epoch, broken.epochs) == (True, 1, whole.epochs)
    assert_same(broken.model, whole.model)
    assert not whole.interrupted


def test_ctrl_c_in_the_first_epoch_gives_the_model_as_it_came() -> None:
    model = net().eval()
    state = torch.get_rng_state()
    found = train(model, Task.classification(train=pairs()), Recovery(), watch=interrupt_at(2))
    assert (found.interrupted, found.best_epoch, found.epochs) == (True, 0, ())
    assert_same(found.model, model)
    assert found.model is not model
    assert not found.model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert PartialState._shared_state == {}


def test_no_epochs_give_an_unchanged_copy() -> None:
    model = net().requires_grad_(False)
    found = train(model, Task.classification(), Recovery(epochs=0))
    assert found == Recovered(found.model, (), interrupted=False, best_epoch=0)
    assert found.model is not model
    assert_same(found.model, model)
