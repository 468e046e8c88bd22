"""What every method of layers promises; methods are found by their files, and so are their oracles."""

import importlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from oracles.rectifier import Array, Rectifier, Replaceable
from secateur import methods
from secateur.errors import CompressionError
from secateur.task import Task
from subjects import LAYERS, OF_BOTH, assert_equal, layered, scored, task_of, usual

every_method = pytest.mark.parametrize("name", LAYERS.methods)


ACTIVATIONS = ("relu", "block.act", "after", "linear")


# --- the contract -----------------------------------------------------------------------------------------------------


@every_method
def test_scores_are_one_finite_float64_number_for_each_activation(name: str) -> None:
    scores = usual(LAYERS, name)
    assert scores.method == LAYERS.methods[name].name
    assert {site: tuple(values.shape) for site, values in scores.values.items()} == dict.fromkeys(ACTIVATIONS, (1,))
    assert all(values.dtype == torch.float64 for values in scores.values.values())
    assert all(bool(torch.isfinite(values).all()) for values in scores.values.values())
    assert scores.comparable


@every_method
def test_renamed_modules_get_renamed_scores(name: str) -> None:
    renamed = nn.Sequential(OrderedDict(body=layered("new_")))
    wanted = {f"body.new_{activation}": values for activation, values in usual(LAYERS, name).values.items()}
    assert_equal(scored(LAYERS, name, renamed).values, wanted)


@pytest.mark.parametrize("name", ["easier", "nepenthe", "tlc"])
def test_an_activation_that_is_linear_on_the_data_scores_lowest(name: str) -> None:
    values = {activation: float(value) for activation, value in usual(LAYERS, name).values.items()}
    assert min(values, key=values.__getitem__) == "linear"


# --- the papers' equations --------------------------------------------------------------------------------------------


def oracles() -> list[tuple[str, str]]:
    """Every method with the names of the functions in its oracle that say what it gives under some settings."""
    return [(name, variant) for name in LAYERS.methods for variant in variants_of(name)]


def variants_of(name: str) -> dict[str, dict[str, object]]:
    """The settings under which a function of a method's oracle says what it gives, by the function's name."""
    oracle = importlib.import_module(f"oracles.{name}")
    return oracle.OF_LAYERS if name in OF_BOTH else {"score": {}, **oracle.SETTINGS}


@pytest.mark.parametrize(("name", "variant"), oracles())
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scores_are_those_of_the_papers_equations(name: str, variant: str, activation: str) -> None:
    model, task = layered().double().eval(), task_of(torch.float64)
    with torch.no_grad():
        model.norm.bias[2] = model.norm.weight[2] = 0.0  # pre-activations that are exactly 0
    oracle = importlib.import_module(f"oracles.{name}")
    wanted = getattr(oracle, variant)(rectifier_of(model, task, activation))
    found = scored(LAYERS, methods.get(name, **variants_of(name)[variant]), model, task).values[activation]
    np.testing.assert_allclose(found.numpy(), [wanted], rtol=1e-10, atol=1e-12)


def rectifier_of(model: nn.Sequential, task: Task, activation: str) -> Rectifier:
    """The facts about an activation, by PyTorch's own means."""
    read, gave = through(model, model.get_submodule(activation), task)
    makers = {"relu": model.first, "block.act": model.block.inner, "after": model.block.outer, "linear": model.second}
    norm = model.norm if activation == "relu" else None
    into, out = through(model, model.block, task)
    return Rectifier(
        number=ACTIVATIONS.index(activation),
        batches=read,
        after=gave,
        incoming=makers[activation].weight.detach().numpy(),
        scale=None if norm is None else norm.weight.detach().numpy(),
        shift=None if norm is None else norm.bias.detach().numpy(),
        block=(np.concatenate(into), np.concatenate(out)) if activation == "block.act" else None,
        stretches=replaceable(model, task),
        stretch={"block.act": 0, "linear": 1}.get(activation),
    )


def replaceable(model: nn.Sequential, task: Task) -> tuple[Replaceable, ...]:
    """The block, and the two layers around the last activation: what stands alone between two values."""
    block, second, last = ([np.concatenate(side) for side in through(model, model[i], task)] for i in (3, 5, 7))

    def rest(gave: Array) -> Array:
        return np.asarray(model[4:](torch.from_numpy(gave)).detach().numpy())

    return Replaceable(block[0], block[1], rest), Replaceable(second[0], last[1], lambda gave: gave)


def through(model: nn.Module, module: nn.Module, task: Task) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """What goes into a module and what comes out, batch by batch."""
    into: list[np.ndarray] = []
    out: list[np.ndarray] = []
    before = module.register_forward_pre_hook(lambda _, args: into.append(args[0].detach().clone().numpy()))
    after = module.register_forward_hook(lambda _, __, value: out.append(value.detach().clone().numpy()))
    for x, _ in task.calibration or ():
        model(x)
    before.remove()
    after.remove()
    return tuple(into), tuple(out)


# --- choosing a method ------------------------------------------------------------------------------------------------


def test_the_methods_are_the_files() -> None:
    assert tuple(LAYERS.methods) == ("block_influence", "easier", "linear_fit", "nepenthe", "tlc", *OF_BOTH)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("block_influence", {"around": "layer"}),
        ("chance", {"granularity": "weight"}),
        ("magnitude", {"granularity": "weight"}),
        ("easier", {"states": 4}),
        ("linear_fit", {"rows": 1}),
        ("linear_fit", {"trial_rows": 0}),
        ("easier", {"pool": "epoch"}),
        ("nepenthe", {"tolerance": -0.1}),
        ("nepenthe", {"tolerance": float("nan")}),
        ("tlc", {"ranking": "order"}),
        ("tlc", {"statistic": "median"}),
        ("tlc", {"pool": "max"}),
        ("tlc", {"batches": 0}),
        ("tlc", {"batches": "all"}),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(CompressionError, match=name):
        methods.get(name, **settings)


def test_batches_of_one_size_have_no_more_entropy_than_all_together() -> None:
    by_batch = scored(LAYERS, methods.get("easier", pool="batch")).values
    assert all(float(by_batch[name]) <= float(value) + 1e-12 for name, value in usual(LAYERS, "easier").values.items())
