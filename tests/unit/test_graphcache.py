"""Graphs traced before: used where a model is built alike, never where it is not."""

import copy
import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from secateur import graphcache, tracing
from secateur.tracing import sites_in, trace


class Net(nn.Module):
    def __init__(self, scale: float = 1.0, act: nn.Module | None = None, stride: int = 1) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.act, self.scale, self.stride = act or nn.ReLU(), scale, stride

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)) * self.scale)[:, :: self.stride]


@pytest.fixture(autouse=True)
def exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The models that were really traced, and an empty cache before and after."""
    done: list[str] = []
    original = tracing._exported
    monkeypatch.setattr(
        tracing, "_exported", lambda model, *rest: done.append(type(model).__name__) or original(model, *rest)
    )
    graphcache.forget()
    yield done
    graphcache.forget()


X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def test_a_copy_is_not_traced_again_and_computes_with_its_own_weights(exports: list[str]) -> None:
    first, second = Net(), Net()
    traces = [trace(first, X), trace(copy.deepcopy(first), X), trace(second, X)]
    assert len(exports) == 1
    x = torch.randn(5, 4)
    for traced, model in zip(traces, (first, first, second), strict=True):
        torch.testing.assert_close(traced.run(((x,), {})), model(x))
    assert traces[2].model is second
    with torch.no_grad():
        second.first.weight.mul_(3.0)
    torch.testing.assert_close(traces[2].run(((x,), {})), second(x))


@pytest.mark.parametrize(
    "other",
    [Net(scale=1.0 + 1e-9), Net(act=nn.GELU()), Net(act=nn.LeakyReLU()), Net(stride=2), Net().double()],
    ids=["a number", "another module", "a subclass's like", "a slice", "precision"],
)
def test_what_is_built_otherwise_is_traced_anew(other: Net, exports: list[str]) -> None:
    trace(Net(), X)
    x = X.to(other.first.weight.dtype)
    torch.testing.assert_close(trace(other, x).run(((x,), {})), other(x))
    assert len(exports) == 2


def test_tied_weights_are_told_from_equal_ones(exports: list[str]) -> None:
    def net(*, tied: bool) -> nn.Sequential:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        model[2].load_state_dict(model[0].state_dict())
        if tied:
            model[2].weight = model[0].weight
        return model

    trace(net(tied=True), X)
    assert "2.weight" in trace(net(tied=False), X).tensors.values()
    assert len(exports) == 2


def test_other_inputs_are_traced_anew(exports: list[str]) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for x in (torch.zeros(2, 4), torch.zeros(2, 5, 4), torch.zeros(2, 6, 4)):
        trace(model, x)
    assert len(exports) == 3


def test_what_no_setting_shows_is_seen_by_running_the_graph(exports: list[str]) -> None:
    """An object of the user's own is known by its class alone; the model's own output tells it from another."""

    class Box:
        def __init__(self, factor: float) -> None:
            self.factor = factor

    class Boxed(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.layer, self.box = nn.Linear(4, 2), Box(factor)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) * self.box.factor

    trace(Boxed(1.0), X)
    other = Boxed(2.0)
    torch.testing.assert_close(trace(other, X).run(((X,), {})), other(X))
    assert len(exports) == 2


def test_a_forward_put_in_place_of_the_class_s_is_traced_anew(exports: list[str]) -> None:
    trace(Net(), X)
    model = Net()
    model.forward = lambda x: model.last(model.first(x))  # type: ignore[method-assign]
    torch.testing.assert_close(trace(model, X).run(((X,), {})), model(X))
    assert len(exports) == 2


def test_constants_of_the_forward_are_not_shared(exports: list[str]) -> None:
    class Plain(nn.Module):
        def __init__(self, values: list[float]) -> None:
            super().__init__()
            self.layer, self.table = nn.Linear(4, 2), torch.tensor(values)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.table

    for values in ([1.0, 2.0], [1.0, 2.0000002]):
        model = Plain(values)
        assert torch.equal(trace(model, X).run(((X,), {})), model(X))
    assert len(exports) == 2


def test_sites_of_a_recalled_graph_are_those_of_a_new_one() -> None:
    model = Net()
    fresh = sites_in(trace(model, X))
    assert sites_in(trace(copy.deepcopy(model), X)) == fresh


def test_no_weights_are_kept_alive() -> None:
    model = Net()
    trace(model, X)
    weight, gone = weakref.ref(model.first.weight), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert weight() is None


def test_only_some_graphs_are_kept(exports: list[str]) -> None:
    for width in range(3, 15):
        trace(nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)), X)
    assert len(graphcache._graphs) == graphcache._KEPT
    trace(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), X)
    assert len(exports) == 13
