"""What every method of units promises; methods are found by their files, and so are their oracles."""

import importlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles.layer import Layer
from secateur import methods
from secateur.errors import CompressionError, UnknownNameError
from secateur.finding import find_sites
from secateur.sites import Sites
from secateur.task import Task
from subjects import UNITS, Net, assert_equal, scored, sites_of, task_of, usual

KEEPING_ZEROS = {"chance", "fpgm"}  # by intent: a filter of zeros need not be near the others
NAMES = tuple(UNITS.methods)

every_method = pytest.mark.parametrize("name", NAMES)


DEAD = {"first": 1, "inner": 4}


# --- the contract -----------------------------------------------------------------------------------------------------


@every_method
def test_scores_are_one_finite_float64_number_for_each_unit(name: str) -> None:
    scores = usual(UNITS, name)
    assert scores.method == name
    assert {site: tuple(values.shape) for site, values in scores.values.items()} == {
        s.name: (s.units,) for s in sites_of(UNITS)
    }
    assert all(values.dtype == torch.float64 for values in scores.values.values())
    assert all(bool(torch.isfinite(values).all()) for values in scores.values.values())


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

    wanted = {f"body.new_{site}": values for site, values in usual(UNITS, name).values.items()}
    assert_equal(scored(UNITS, name, Renamed()).values, wanted)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KEEPING_ZEROS])
def test_a_dead_unit_scores_lowest(name: str) -> None:
    for site, values in usual(UNITS, name).values.items():
        assert int(values.argmin()) == DEAD[site]
        assert values[DEAD[site]] == 0.0


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
    found = scored(UNITS, methods.get(name, **oracle.SETTINGS.get(variant, {})), model, task).values["0"]
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
    assert scored(UNITS, methods.get("dense", measure="weighted")).comparable
    assert not scored(UNITS, "dense").comparable


def test_a_unit_that_is_only_summed_up_weighs_one() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x).relu().sum(1, keepdim=True)

    model, task = Summed(), task_of()
    weighted = scored(UNITS, methods.get("dense", measure="weighted"), model, task).values
    assert_equal(weighted, scored(UNITS, "dense", model, task).values)


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
