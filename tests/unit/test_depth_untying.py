"""Activations that share a module, or are functions, get modules of their own, and the network computes what it did."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.activations import activations_in
from secateur.depth import Affine, change_, changes_for, linear_at
from secateur.errors import ModelError
from secateur.plan import Untie
from secateur.sites import Activation
from secateur.tracing import trace
from untied import Block, activations_of, around


class Functions(nn.Module):
    """Functions and methods, with settings, positional and not, and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3 if n == 0 else 4, 4) for n in range(12)])

    def forward(self, x: Tensor) -> Tensor:
        acts: list[Callable[[Tensor], Tensor]] = [
            F.relu,
            lambda z: F.relu(z, inplace=True),
            torch.relu,
            lambda z: z.relu(),
            lambda z: z.relu_(),
            lambda z: F.leaky_relu(z, 0.3),
            lambda z: F.gelu(z, approximate="tanh"),
            lambda z: F.softplus(z, 2, threshold=10),
            lambda z: F.elu(input=z, alpha=0.5),
            lambda z: F.hardtanh(z, 0.0, 6.0),
            F.relu6,
        ]
        for layer, act in zip(self.layers, acts, strict=False):
            x = act(layer(x))
        return self.layers[-1](x)


MODULES = ["ReLU()", "ReLU(inplace=True)", "ReLU()", "ReLU()", "ReLU(inplace=True)", "LeakyReLU(negative_slope=0.3)"]


MODULES += ["GELU(approximate='tanh')", "Softplus(beta=2, threshold=10)", "ELU(alpha=0.5)", "ReLU6()", "ReLU6()"]


def seen_by(model: nn.Module, modules: list[nn.Module], x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What modules read and gave, call by call, as hooks see it."""
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [m.register_forward_hook(lambda _, args, out: seen.append((args[0].clone(), out.clone()))) for m in modules]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return seen


def test_each_new_module_computes_what_hooks_saw_on_that_call_of_the_shared_one() -> None:
    model, x = around(Block(nn.GELU())), torch.randn(5, 3)
    before, wanted = seen_by(model, [model[1].act], x), model(x)
    for activation in activations_of(model):
        changes, path = changes_for(model, activation)
        assert changes == (Untie("1", ("act_1", "act_2")),)
        assert path == f"1.act_{activation.call + 1}"
    change_(model, changes)
    assert torch.equal(model(x), wanted)
    for number, (read, gave) in enumerate(before, 1):
        ((now_read, now_gave),) = seen_by(model, [model[1].get_submodule(f"act_{number}")], x)
        assert torch.equal(now_read, read) and torch.equal(now_gave, gave)
    assert len(before) == 2 and not seen_by(model, [model[1].act], x)


def test_only_the_owners_class_changes() -> None:
    model = around(Block(nn.ReLU()), Block(nn.ReLU()))
    parameters, block = dict(model.named_parameters()), model[1]
    change_(model, changes_for(model, activations_of(model)[0])[0])
    assert model[1] is block
    assert isinstance(block, Block) and type(block).__name__ == "Block" and type(model[2]) is Block
    assert (block.stride, block.expansion, block.training) == ((1, 1), 1, False)
    assert list(dict(model.named_parameters())) == list(parameters)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert [name for name, _ in block.named_children()] == ["first", "act", "last", "act_1", "act_2"]


def test_functions_and_methods_become_modules_with_the_same_settings() -> None:
    model, x = Functions().eval(), torch.randn(5, 3)
    wanted, found = model(x), activations_of(model)
    (untie,) = changes_for(model, found[0])[0]
    paths = [changes_for(model, activation)[1] for activation in found]
    change_(model, (untie,))
    assert torch.equal(model(x), wanted)
    assert [repr(model.get_submodule(path)) for path in paths] == MODULES
    assert paths == list(untie.names)
    assert paths[:2] == ["relu_1", "relu_2"] and paths[-2:] == ["relu6_1", "relu6_2"]
    assert [a.name for a in activations_of(model)] == paths and all(a.is_alone for a in activations_of(model))


def test_untying_again_changes_nothing() -> None:
    model = around(Block(nn.ReLU()))
    found = activations_of(model)
    changes = [change for activation in found for change in changes_for(model, activation)[0]]
    change_(model, changes)
    kind = type(model[1])
    change_(model, changes)
    assert len(changes) == 2 and type(model[1]) is kind


def test_activations_found_once_may_be_changed_one_after_the_other() -> None:
    """The paths are those that are found on the original."""
    for block in (Block(nn.ReLU()), Both()):
        model = around(block)
        found = activations_of(model)
        paths = [changes_for(model, activation)[1] for activation in found]
        for activation in found:
            linear_at(model, activation, torch.ones(4), torch.rand(4))
        assert all(isinstance(model.get_submodule(path), Affine) for path in paths) and len(set(paths)) == len(found)
        assert not left_in(model)


class Both(Block):
    """A module called `relu`, called twice, and the function of that name."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.last(F.relu(self.first(self.relu(x)))) + x)


def left_in(model: nn.Module) -> tuple[Activation, ...]:
    return activations_in(trace(model, torch.randn(2, 3)))


def test_copies_and_both_modes_are_those_of_the_original() -> None:
    model, x = around(Block(nn.ReLU())), torch.randn(5, 3)
    change_(model, changes_for(model, activations_of(model)[0])[0])
    again = copy.deepcopy(model)
    assert torch.equal(again(x), model(x)) and again[1].act_1 is not model[1].act_1
    again.train()(x).sum().backward()
    assert again[1].first.weight.grad is not None and again[1].act_1.training


# --- no untying where a name alone serves -----------------------------------------------------------------------------


def test_a_module_shared_by_owners_is_exchanged_in_one_of_them_alone() -> None:
    shared = nn.ReLU()

    class Once(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.act(self.first(x))) + x

    model = around(Once(shared), shared, nn.Linear(4, 4), shared, Once(shared))
    found = activations_of(model)
    assert [changes_for(model, a) for a in found] == [((), p) for p in ("1.act", "2", "4", "5.act")]
    linear_at(model, found[2], torch.ones(4), torch.zeros(4))
    assert isinstance(model[4], nn.Identity) and model[2] is shared
    assert type(model[1]) is Once and type(model) is nn.Sequential


# --- forwards of every kind -------------------------------------------------------------------------------------------


class Written(nn.Module):
    """One layer and two rectifiers; `way` is the rest of its forward."""

    def __init__(self, way: Callable[..., Tensor]):
        super().__init__()
        self.layer, self.drop, self.way = nn.Linear(4, 4), nn.Dropout(0.5), way

    def forward(self, x: Tensor, scale: Tensor | None = None, twice: bool = False) -> Tensor:
        return self.way(self, F.relu(self.layer(F.relu(x))), scale, twice)


def doubled(_: Written, x: Tensor, __: Any, twice: bool) -> Tensor:
    return 2 * x if twice else x


def scaled(_: Written, x: Tensor, scale: Tensor | None, __: bool) -> Tensor:
    return x if scale is None else scale * x


def dropped(self: Written, x: Tensor, _: Any, __: bool) -> Tensor:
    return F.dropout(x, 0.5, training=self.training)


def untied(block: nn.Module) -> nn.Module:
    model = around(block)
    change_(model, changes_for(model, activations_of(model)[0])[0])
    return model[1]


@pytest.mark.parametrize("way", [doubled, scaled])
def test_arguments_that_decide_the_way_keep_their_defaults(way: Callable[..., Tensor]) -> None:
    """What is called otherwise fails loudly, instead of going the wrong way."""
    block, x = Written(way), torch.randn(5, 4)
    again = untied(block)
    assert torch.equal(again(x), Written.forward(block, x))
    with pytest.raises(TypeError, match="forward"):
        again(x, torch.ones(4), True)


def test_arguments_that_decide_nothing_stay() -> None:
    class Kept(Block):
        def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
            return gain * self.act(self.last(self.act(self.first(x))))

    block, x = Kept(nn.ReLU()), torch.randn(5, 4)
    again = untied(block)
    assert torch.equal(again(x, 3.0), Kept.forward(block, x, gain=3.0))
    assert torch.equal(again(x), Kept.forward(block, x))


def test_a_flag_for_the_mode_is_read_when_the_forward_runs() -> None:
    again, x = untied(Written(dropped)), torch.randn(50, 4)
    torch.manual_seed(0)
    trained = again.train()(x)
    torch.manual_seed(0)
    assert torch.equal(trained, F.dropout(again.eval()(x), 0.5))


def branching(self: Written, x: Tensor, _: Any, __: bool) -> Tensor:
    return x + 1 if self.training else x


def deciding(_: Written, x: Tensor, __: Any, ___: bool) -> Tensor:
    return x if x.shape[0] < 100 else x + 1


def hidden(self: Written, x: Tensor, _: Any, __: bool) -> Tensor:
    return self.extra[0](x)  # a module that is not registered


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (branching, "in training it takes another way"),
        (deciding, r"control flow, at .*test_depth_untying.py:\d+"),
        (hidden, "module is not installed as a submodule"),
    ],
)
def test_a_forward_that_cannot_be_followed_is_refused(way: Callable[..., Tensor], reason: str) -> None:
    block = Written(way)
    block.extra = [nn.Identity()]
    with pytest.raises(ModelError, match=f"1: the calls of its forward cannot be told apart: .*{reason}.*; give every"):
        untied(block)
    assert type(block) is Written and not block.training


def test_a_shared_activation_with_weights_is_not_told_apart() -> None:
    """Two modules cannot have one weight under the names that it has."""
    with pytest.raises(ModelError, match=r"1.act#1: its call is not among the 0 that the forward of 1 makes"):
        untied(Block(nn.PReLU()))
