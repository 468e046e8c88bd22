"""The running average that a recovery can give back instead of its last weights."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.recovery import Recovery, recover, train
from secateur.task import Task
from trained import Pairs, accuracy, assert_differ, assert_same, net, pairs


def states_by_hand(model: nn.Module, batches: Pairs, rate: float) -> list[dict[str, Tensor]]:
    """What the network holds after every step of plain gradient descent; it is changed."""
    found = []
    model.train()
    for inputs, targets in batches:
        model.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(rate * parameter.grad)  # type: ignore[operator]
        found.append(copy.deepcopy(model.state_dict()))
    return found


def weighed(states: list[dict[str, Tensor]], name: str, decay: float) -> Tensor:
    """The average in closed form: what a step adds, times all that later ones leave of it."""
    leaves = [min(decay, (1 + step) / (10 + step)) for step in range(len(states))]
    weights = [1.0 - leaves[0], *(1.0 - share for share in leaves[1:])]
    weights[0] = 1.0  # the first state is where the average begins
    for step in range(len(states)):
        for share in leaves[step + 1 :]:
            weights[step] *= share
    return torch.stack([w * state[name].double() for w, state in zip(weights, states, strict=True)]).sum(0)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_that_of_a_plain_loop_statistics_of_norms_too(decay: float) -> None:
    model, batches = net(nn.BatchNorm1d(8)), pairs()
    states = states_by_hand(copy.deepcopy(model), batches, 0.2)
    settings = Recovery(
        epochs=1, learning_rate=0.2, optimizer="sgd", momentum=0.0, schedule="constant", ema_decay=decay
    )

    found = recover(model, Task.classification(train=batches), settings).state_dict()

    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), weighed(states, name, decay), rtol=1e-4, atol=1e-6, msg=name)
        else:
            assert value == len(batches)


def test_without_it_the_last_weights_are_given_back() -> None:
    task = Task.classification(train=pairs())
    last = recover(net(), task, Recovery())
    assert_same(recover(net(), task, Recovery(ema_decay=0.0)), last)
    assert_differ(recover(net(), task, Recovery(ema_decay=0.9)), last)


def test_noise_in_the_targets_moves_the_average_less_than_the_last_weights() -> None:
    """Polyak & Juditsky 1992: the average of noisy steps lies nearer to the optimum than the steps."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4000, 4, generator=generator)
    wanted = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    targets = inputs @ wanted.T + torch.randn(4000, 1, generator=generator)
    batches = list(zip(inputs.split(10), targets.split(10), strict=True))
    model = nn.Linear(4, 1)
    settings = {"epochs": 1, "learning_rate": 0.05, "optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}

    off = []
    for decay in (0.0, 0.98):
        found = recover(model, Task.regression(train=batches), Recovery(**settings, ema_decay=decay))  # type: ignore[arg-type]
        off.append(float((found.weight.detach() - wanted).norm()))  # type: ignore[operator]

    assert off[1] < 0.5 * off[0]


def test_the_average_is_what_is_judged_and_kept() -> None:
    batches = pairs()
    task = Task.classification(train=batches, validation=batches)
    found = train(net(), task, Recovery(epochs=4, learning_rate=0.03, ema_decay=0.9))
    assert accuracy(found.model.eval(), batches) == max(float(epoch.quality or 0.0) for epoch in found.epochs)


def test_masked_weights_stay_zero_and_frozen_ones_stay() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[:, 1] = 0.0
    model[2].weight.requires_grad_(False)
    found = recover(model, Task.classification(train=pairs()), Recovery(ema_decay=0.9, keep_zeros=True))
    assert not found[0].weight[:, 1].any()  # type: ignore[index]
    torch.testing.assert_close(found[2].weight, model[2].weight, rtol=0, atol=0)  # type: ignore[index]
