"""What is random in a recovery comes from its seed, wherever it is drawn."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from secateur.recovery import Recovery, recover, train
from secateur.task import Task
from trained import assert_differ, assert_same, net, pairs, rows


@pytest.mark.parametrize("place", ["nowhere", "loader", "sampler", "batch sampler"])
def test_one_seed_gives_one_result_to_the_bit_wherever_the_order_is_drawn(place: str) -> None:
    data, own = TensorDataset(*rows()), torch.Generator().manual_seed(77)
    sampler = RandomSampler(data, generator=own)
    loader = {
        "nowhere": DataLoader(data, batch_size=16, shuffle=True),
        "loader": DataLoader(data, batch_size=16, shuffle=True, generator=own),
        "sampler": DataLoader(data, batch_size=16, sampler=sampler),
        "batch sampler": DataLoader(data, batch_sampler=BatchSampler(sampler, 16, drop_last=False)),
    }[place]
    model, task = net(nn.Dropout(0.3)), Task.classification(train=loader)
    before = own.get_state()

    first = recover(model, task, Recovery(seed=5))
    assert torch.equal(own.get_state(), before)
    torch.rand(7)
    torch.rand(7, generator=own)
    moved = own.get_state()
    again = recover(model, task, Recovery(seed=5))
    other = recover(model, task, Recovery(seed=6))

    assert_same(again, first)
    assert_differ(other, first)
    assert torch.equal(own.get_state(), moved)


def test_a_loader_that_does_not_shuffle_keeps_its_generator_too() -> None:
    own = torch.Generator().manual_seed(77)
    loader = DataLoader(TensorDataset(*rows()), batch_size=16, generator=own)
    task = Task.classification(train=loader, validation=loader)
    before = own.get_state()
    recover(net(), task, Recovery())
    assert torch.equal(own.get_state(), before)


def test_randomness_in_validation_comes_from_the_seed() -> None:
    drawn: list[float] = []
    base = Task.classification(train=pairs(), validation=pairs())

    def quality(_: Tensor) -> dict[str, float]:
        drawn.append(torch.rand(()).item())
        return {"accuracy": drawn[-1]}

    for _ in range(2):
        torch.rand(3)
        recover(net(), Task(**{**vars(base), "quality": quality}), Recovery())
    assert drawn[:4] == drawn[4:]


def test_the_order_of_the_data_differs_between_epochs() -> None:
    seen: list[tuple[float, ...]] = []
    inputs, targets = rows(32)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)
    base = Task.classification(train=loader)

    def arguments(batch: Any) -> Any:
        seen.append(tuple(batch[0][:, 0].tolist()))
        return base.arguments(batch)

    recover(net(), Task(**{**vars(base), "arguments": arguments}), Recovery())
    assert len(set(seen)) == 3
    assert len({tuple(sorted(order)) for order in seen}) == 1


def test_validation_does_not_change_how_training_goes() -> None:
    loader = DataLoader(TensorDataset(*rows()), batch_size=16, shuffle=True)
    shuffled = DataLoader(TensorDataset(*rows(40, seed=2)), batch_size=8, shuffle=True)
    model = net(nn.Dropout(0.3))
    alone = train(model, Task.classification(train=loader), Recovery())
    beside = train(model, Task.classification(train=loader, validation=shuffled), Recovery())
    assert [epoch.loss for epoch in beside.epochs] == [epoch.loss for epoch in alone.epochs]
