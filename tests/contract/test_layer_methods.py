"""What every method of layers promises; methods are found by their files, and so are their oracles."""

import copy
import importlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from oracles.rectifier import Array, Rectifier, Replaceable
from secateur import methods
from secateur.activations import find_activations
from secateur.errors import CompressionError, DataError, SettingsError
from secateur.scores import Method, Scores
from secateur.task import Task

ROWS = 60
OF_BOTH = ("chance", "magnitude")  # score units, or layers if asked
WITHOUT_DATA = set(OF_BOTH)

BY_NAME = {name: methods.get(name) for name in methods.names() if methods.get(name).granularity == "layer"} | {
    name: methods.get(name, granularity="layer") for name in OF_BOTH
}

every_method = pytest.mark.parametrize("name", BY_NAME)


class Residual(nn.Module):
    """A layer, its activation and another layer, beside a path around them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(7, 8), nn.GELU(), nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.act(self.inner(x)))


def net(prefix: str = "") -> nn.Sequential:
    """Activations behind a batch-norm, in a residual block, behind a sum, and one that is always on."""
    layers = OrderedDict(
        first=nn.Linear(5, 7),
        norm=nn.BatchNorm1d(7),
        relu=nn.ReLU(inplace=True),
        block=Residual(),
        after=nn.ReLU(),
        second=nn.Linear(7, 6),
        linear=nn.ReLU(),
        last=nn.Linear(6, 3),
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        for layer in layers.values():
            for parameter in layer.parameters():
                parameter.data.normal_(0.0, 0.6)
        layers["norm"].running_mean.normal_()
    nn.init.constant_(layers["second"].bias, 100.0)
    return nn.Sequential(OrderedDict((f"{prefix}{name}", layer) for name, layer in layers.items()))


ACTIVATIONS = ("relu", "block.act", "after", "linear")


def task_of(dtype: torch.dtype = torch.float32, batch: int = 20, rows: int = ROWS) -> Task:
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(ROWS, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (ROWS,), generator=generator)
    x, y = x[:rows].to(dtype), y[:rows]
    return Task.classification(calibration=[(x[i : i + batch], y[i : i + batch]) for i in range(0, rows, batch)])


def scored(method: Method | str, model: nn.Module | None = None, task: Task | None = None) -> Scores:
    model, task = model or net(), task or task_of()
    chosen = BY_NAME[method] if isinstance(method, str) else method
    return methods.score(model, find_activations(model, task), task, chosen)


@cache
def usual(name: str) -> Scores:
    """What a method with its defaults says of the usual network and data."""
    return scored(name)


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], **tolerance: float) -> None:
    assert list(found) == list(wanted)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}))


# --- the contract -----------------------------------------------------------------------------------------------------


@every_method
def test_scores_are_one_finite_float64_number_for_each_activation(name: str) -> None:
    scores = usual(name)
    assert scores.method == BY_NAME[name].name
    assert {site: tuple(values.shape) for site, values in scores.values.items()} == dict.fromkeys(ACTIVATIONS, (1,))
    assert all(values.dtype == torch.float64 for values in scores.values.values())
    assert all(bool(torch.isfinite(values).all()) for values in scores.values.values())
    assert scores.comparable


@every_method
def test_a_method_is_its_settings(name: str) -> None:
    method = BY_NAME[name]
    assert isinstance(method, Method)
    assert method == copy.deepcopy(method)
    assert hash(method) == hash(copy.deepcopy(method))


@every_method
def test_scoring_leaves_the_model_and_the_data_as_they_were(name: str) -> None:
    model = net().train()
    model.norm.eval()
    model(torch.randn(4, 5)).sum().backward()
    task = task_of()
    before = copy.deepcopy(task.calibration)
    with untouched(model):
        scored(name, model, task)
    for (x, y), (old_x, old_y) in zip(task.calibration, before, strict=True):
        assert torch.equal(x, old_x)
        assert torch.equal(y, old_y)


@every_method
@pytest.mark.parametrize("batch", [1, 7])
def test_how_the_data_is_batched_does_not_matter(name: str, batch: int) -> None:
    model = net().double()
    found = scored(name, model, task_of(torch.float64, batch)).values
    assert_equal(found, scored(name, model, task_of(torch.float64)).values, rtol=1e-10, atol=1e-13)


@every_method
def test_scoring_twice_gives_the_same_bits(name: str) -> None:
    first = usual(name).values
    torch.rand(3)  # the global generator plays no part
    assert_equal(scored(name).values, first)


@every_method
def test_renamed_modules_get_renamed_scores(name: str) -> None:
    renamed = nn.Sequential(OrderedDict(body=net("new_")))
    wanted = {f"body.new_{activation}": values for activation, values in usual(name).values.items()}
    assert_equal(scored(name, renamed).values, wanted)


@every_method
def test_float32_agrees_with_float64(name: str) -> None:
    found = usual(name).values
    assert_equal(found, scored(name, net().double(), task_of(torch.float64)).values, rtol=1e-4, atol=1e-6)


@every_method
def test_no_data_is_an_error(name: str) -> None:
    model = net()
    sites = find_activations(model, task_of())
    if name in WITHOUT_DATA:
        assert methods.score(model, sites, Task.classification(), BY_NAME[name]).values
        return
    for empty in (None, []):
        with pytest.raises(DataError, match="calibration"):
            methods.score(model, sites, Task.classification(calibration=empty), BY_NAME[name])


@every_method
def test_one_row_is_too_few_for_what_looks_at_data(name: str) -> None:
    if name in WITHOUT_DATA:
        assert scored(name, task=task_of(rows=1)).values
        return
    with pytest.raises(DataError, match="1 row"):
        scored(name, task=task_of(rows=1))


@every_method
def test_scoring_together_is_scoring_alone(name: str) -> None:
    model, task = net(), task_of()
    together = methods.score_all(model, find_activations(model, task), task, list(BY_NAME.values()))
    assert_equal(together[BY_NAME[name].name].values, usual(name).values)


@every_method
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="colour"):
        methods.get(BY_NAME[name].name, colour="red")


@pytest.mark.parametrize("name", ["easier", "nepenthe", "tlc"])
def test_an_activation_that_is_linear_on_the_data_scores_lowest(name: str) -> None:
    values = {activation: float(value) for activation, value in usual(name).values.items()}
    assert min(values, key=values.__getitem__) == "linear"


# --- the papers' equations --------------------------------------------------------------------------------------------


def oracles() -> list[tuple[str, str]]:
    """Every method with the names of the functions in its oracle that say what it gives under some settings."""
    return [(name, variant) for name in BY_NAME for variant in variants_of(name)]


def variants_of(name: str) -> dict[str, dict[str, object]]:
    """The settings under which a function of a method's oracle says what it gives, by the function's name."""
    oracle = importlib.import_module(f"oracles.{name}")
    return oracle.OF_LAYERS if name in OF_BOTH else {"score": {}, **oracle.SETTINGS}


@pytest.mark.parametrize(("name", "variant"), oracles())
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scores_are_those_of_the_papers_equations(name: str, variant: str, activation: str) -> None:
    model, task = net().double().eval(), task_of(torch.float64)
    with torch.no_grad():
        model.norm.bias[2] = model.norm.weight[2] = 0.0  # pre-activations that are exactly 0
    oracle = importlib.import_module(f"oracles.{name}")
    wanted = getattr(oracle, variant)(rectifier_of(model, task, activation))
    found = scored(methods.get(name, **variants_of(name)[variant]), model, task).values[activation]
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
    assert tuple(BY_NAME) == ("block_influence", "easier", "linear_fit", "nepenthe", "tlc", *OF_BOTH)


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
    by_batch = scored(methods.get("easier", pool="batch")).values
    assert all(float(by_batch[name]) <= float(value) + 1e-12 for name, value in usual("easier").values.items())
