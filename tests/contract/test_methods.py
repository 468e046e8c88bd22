"""What every method of units promises; methods are found by their files, and so are their oracles."""

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
from oracles.layer import Layer
from secateur import methods
from secateur.errors import CompressionError, DataError, SettingsError, UnknownNameError
from secateur.finding import find_sites
from secateur.scores import Method, Scores
from secateur.sites import Sites
from secateur.task import Task

ROWS = 60
WITHOUT_DATA = {"bn_scale", "chance", "fpgm", "group_norm", "magnitude"}
KEEPING_ZEROS = {"chance", "fpgm"}  # by intent: a filter of zeros need not be near the others

NAMES = tuple(name for name in methods.names() if methods.get(name).granularity == "unit")

every_method = pytest.mark.parametrize("name", NAMES)


class Net(nn.Module):
    """Two hidden layers with norms, a skip around the second, a dead unit in each: 1 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(5, 7), nn.BatchNorm1d(7)
        self.inner, self.scale = nn.Linear(7, 6), nn.LayerNorm(6)
        self.outer, self.last = nn.Linear(6, 7), nn.Linear(7, 3)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            for parameter in self.parameters():
                parameter.data.normal_(0.0, 0.6)
        with torch.no_grad():
            self.first.weight[1] = 0.0
            self.norm.running_var[1] = 1.0
            self.norm.weight[1] = self.norm.bias[1] = self.first.bias[1] = 0.0
            self.outer.weight[1] = 0.0
            self.outer.bias[1] = 0.0
            self.inner.weight[:, 1] = 0.0
            self.last.weight[:, 1] = 0.0
            self.inner.weight[4] = 0.0
            self.outer.weight[:, 4] = 0.0
            self.scale.weight[4] = self.scale.bias[4] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        return self.last(x + self.outer(self.scale(self.inner(x)).tanh()))


DEAD = {"first": 1, "inner": 4}


def task_of(dtype: torch.dtype = torch.float32, batch: int = 20, rows: int = ROWS) -> Task:
    generator = torch.Generator().manual_seed(8)
    x, y = (
        torch.randn(ROWS, 5, generator=generator, dtype=torch.float64),
        torch.randint(3, (ROWS,), generator=generator),
    )
    x, y = x[:rows].to(dtype), y[:rows]
    return Task.classification(calibration=[(x[i : i + batch], y[i : i + batch]) for i in range(0, rows, batch)])


def scored(method: Method | str, model: nn.Module | None = None, task: Task | None = None) -> Scores:
    model, task = model or Net(), task or task_of()
    return methods.score(model, find_sites(model, task), task, method)


@cache
def usual(name: str) -> Scores:
    """What a method with its defaults says of the usual network and data."""
    return scored(name)


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], **tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}))


# --- the contract -----------------------------------------------------------------------------------------------------


@every_method
def test_scores_are_one_finite_float64_number_for_each_unit(name: str) -> None:
    sites = find_sites(Net(), task_of())
    scores = usual(name)
    assert scores.method == name
    assert {site: tuple(values.shape) for site, values in scores.values.items()} == {s.name: (s.units,) for s in sites}
    assert all(values.dtype == torch.float64 for values in scores.values.values())
    assert all(bool(torch.isfinite(values).all()) for values in scores.values.values())


@every_method
def test_the_name_is_that_of_the_file_and_settings_that_of_the_fields(name: str) -> None:
    method = methods.get(name)
    assert method.name == name
    assert isinstance(method, Method)
    assert method == methods.get(name)
    assert hash(method) == hash(methods.get(name))


@every_method
def test_scoring_leaves_the_model_and_the_data_as_they_were(name: str) -> None:
    model = Net().train()
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
    model = Net().double()
    found = scored(name, model, task_of(torch.float64, batch)).values
    assert_equal(found, scored(name, model, task_of(torch.float64)).values, rtol=1e-10, atol=1e-13)


@every_method
def test_scoring_twice_gives_the_same_bits(name: str) -> None:
    first = usual(name).values
    torch.rand(3)  # the global generator plays no part
    assert_equal(scored(name).values, first)


@every_method
def test_renamed_modules_get_renamed_scores(name: str) -> None:
    class Renamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.ModuleDict(OrderedDict((f"new_{name}", module) for name, module in Net().named_children()))

        def forward(self, x: Tensor) -> Tensor:
            b = self.body
            x = b["new_norm"](b["new_first"](x)).relu()
            return b["new_last"](x + b["new_outer"](b["new_scale"](b["new_inner"](x)).tanh()))

    wanted = {f"body.new_{site}": values for site, values in usual(name).values.items()}
    assert_equal(scored(name, Renamed()).values, wanted)


@every_method
def test_float32_agrees_with_float64(name: str) -> None:
    found = usual(name).values
    assert_equal(found, scored(name, Net().double(), task_of(torch.float64)).values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KEEPING_ZEROS])
def test_a_dead_unit_scores_lowest(name: str) -> None:
    for site, values in usual(name).values.items():
        assert int(values.argmin()) == DEAD[site]
        assert values[DEAD[site]] == 0.0


@every_method
def test_no_data_is_an_error(name: str) -> None:
    model = Net()
    sites = find_sites(model, task_of())
    if name in WITHOUT_DATA:
        assert methods.score(model, sites, Task.classification(), name).values
        return
    for empty in (None, []):
        with pytest.raises(DataError, match="calibration"):
            methods.score(model, sites, Task.classification(calibration=empty), name)


@every_method
def test_one_row_is_too_few_for_what_looks_at_data(name: str) -> None:
    if name in WITHOUT_DATA:
        assert scored(name, task=task_of(rows=1)).values
        return
    with pytest.raises(DataError, match="1 row"):
        scored(name, task=task_of(rows=1))


@every_method
def test_scoring_together_is_scoring_alone(name: str) -> None:
    model, task = Net(), task_of()
    together = methods.score_all(model, find_sites(model, task), task, [methods.get(each) for each in NAMES])
    assert list(together) == list(NAMES)
    assert_equal(together[name].values, usual(name).values)
    assert together[name].comparable == usual(name).comparable


@every_method
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="colour"):
        methods.get(name, colour="red")


# --- the papers' equations --------------------------------------------------------------------------------------------


def oracles() -> list[tuple[str, str]]:
    """Every method with the names of the functions in its oracle that say what it gives under some settings."""
    settings = {name: importlib.import_module(f"oracles.{name}").SETTINGS for name in NAMES}
    return [(name, variant) for name, variants in settings.items() for variant in ("score", *variants)]


@pytest.mark.parametrize(("name", "variant"), oracles())
def test_scores_are_those_of_the_papers_equations(name: str, variant: str) -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double().eval()
    nn.init.normal_(model[1].weight)
    task = task_of(torch.float64)
    oracle = importlib.import_module(f"oracles.{name}")
    wanted = getattr(oracle, variant)(layer_of(model, task))
    found = scored(methods.get(name, **oracle.SETTINGS.get(variant, {})), model, task).values["0"]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def layer_of(model: nn.Sequential, task: Task) -> Layer:
    """The facts about the first layer, by PyTorch's own means."""
    x, y = (torch.cat(parts) for parts in zip(*(task.calibration or ()), strict=True))
    activations = model[:3](x).detach().requires_grad_()
    gradients = torch.autograd.grad(nn.functional.cross_entropy(model[3](activations), y, reduction="sum"), activations)
    facts = activations, *gradients, model[0].weight, model[3].weight, model[1].weight
    return Layer(*(tensor.detach().numpy() for tensor in facts))


# --- choosing a method ------------------------------------------------------------------------------------------------


def test_the_methods_are_the_files() -> None:
    assert (
        *("activation_std", "apoz", "bn_scale", "chance", "dense", "fpgm", "group_norm", "hrank", "magnitude"),
        *("obce", "ocnna", "pbce", "taylor"),
    ) == NAMES


def test_an_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean magnitude"):
        methods.get("magnitud")


def test_a_misspelt_setting_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean measure"):
        methods.get("dense", mesure="std")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dense", {"measure": "range"}),
        ("magnitude", {"p": 3}),
        ("group_norm", {"p": 0}),
        ("group_norm", {"normalise": "sum"}),
        ("taylor", {"power": 3}),
        ("ocnna", {"tap": "middle"}),
        ("ocnna", {"form": "quick"}),
        ("ocnna", {"coupled": "min"}),
        ("ocnna", {"energy": 1.0}),
        ("obce", {"summary": "min"}),
        ("obce", {"quantile": 1.5}),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(CompressionError, match=name):
        methods.get(name, **settings)


def test_the_mean_squared_harm_of_units_of_all_sites_is_on_one_scale() -> None:
    assert scored(methods.get("dense", measure="weighted")).comparable
    assert not scored("dense").comparable


def test_a_unit_that_is_only_summed_up_weighs_one() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x).relu().sum(1, keepdim=True)

    model, task = Summed(), task_of()
    weighted = scored(methods.get("dense", measure="weighted"), model, task).values
    assert_equal(weighted, scored("dense", model, task).values)


def test_methods_that_watch_alike_share_one_pass() -> None:
    model, seen = Net(), []
    task = task_of()
    sites: Sites = find_sites(model, task)
    chosen = [methods.get("dense"), methods.get("activation_std"), methods.get("magnitude")]
    methods.score_all(model, sites, task, chosen, watch=seen.append)
    assert [event.done for event in seen] == [1, 2, 3]


def test_what_watches_maps_or_rows_shares_one_pass_and_gradients_take_another() -> None:
    model, task, seen = Net(), task_of(), []
    chosen = [methods.get(name) for name in NAMES]
    methods.score_all(model, find_sites(model, task), task, chosen, watch=seen.append)
    assert [event.done for event in seen] == [1, 2, 3, 1, 2, 3]
