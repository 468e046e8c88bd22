"""What every method promises; methods are found by their files."""

import copy
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur import methods
from secateur.errors import DataError, SettingsError, UnknownNameError
from secateur.scores import Method, Scores
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import find_sites

NAMES = methods.names()
ROWS, FEATURES, WIDTH = 64, 5, 7
Batches = list[tuple[Tensor, Tensor]]


class Net(nn.Module):
    """Two hidden layers, the first with a dead unit: nothing comes in, nothing goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(FEATURES, WIDTH)
        self.two = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 3)
        with torch.no_grad():
            self.one.weight[2], self.one.bias[2], self.two.weight[:, 2] = 0.0, 0.0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.two(torch.tanh(self.one(x)))))


class Renamed(nn.Module):
    """The same network under other names."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.first, self.second, self.last = net.one, net.two, net.head

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(ROWS, FEATURES)


def task_of(inputs: Tensor, size: int = ROWS) -> Task:
    batches = [(part, torch.zeros(len(part), dtype=torch.long)) for part in inputs.split(size)]
    return Task.classification(train=batches)


def scored(model: nn.Module, inputs: Tensor, name: str, size: int = ROWS) -> Scores:
    task = task_of(inputs, size)
    return methods.score(model, find_sites(model, task), task, name)


def assert_same(found: Scores, wanted: Scores, tolerance: float = 0.0) -> None:
    assert found.values.keys() == wanted.values.keys()
    for site, values in wanted.values.items():
        torch.testing.assert_close(found.values[site], values, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_one_finite_float64_for_every_unit(name: str, net: Net, inputs: Tensor) -> None:
    task = task_of(inputs)
    sites = find_sites(net, task)
    found = methods.score(net, sites, task, name)
    assert found.method == name
    assert set(found.values) == set(sites.names)
    for site in sites:
        assert found.values[site.name].shape == (site.units,)
        assert found.values[site.name].dtype == torch.float64
        assert bool(torch.isfinite(found.values[site.name]).all())


@pytest.mark.parametrize("name", NAMES)
def test_a_method_is_a_method_with_its_file_for_a_name(name: str) -> None:
    method = methods.get(name)
    assert isinstance(method, Method)
    assert method.name == name
    assert method.granularity in ("unit", "layer", "weight")
    assert (type(method).__doc__ or "").strip()


@pytest.mark.parametrize("name", NAMES)
def test_scoring_leaves_the_model_as_found(name: str, net: Net, inputs: Tensor) -> None:
    net.train()
    net.two.eval()
    before = copy.deepcopy(net.state_dict())
    random_state = torch.get_rng_state()
    scored(net, inputs, name)
    assert (net.training, net.one.training, net.two.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), random_state)
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[key])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not net._forward_hooks and not net.one._forward_hooks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 63])
def test_how_the_data_is_batched_does_not_matter(name: str, size: int, net: Net, inputs: Tensor) -> None:
    assert_same(scored(net.double(), inputs.double(), name, size), scored(net, inputs.double(), name), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_scoring_twice_gives_the_same_bits(name: str, net: Net, inputs: Tensor) -> None:
    assert_same(scored(net, inputs, name), scored(net, inputs, name))


@pytest.mark.parametrize("name", NAMES)
def test_renamed_units_get_renamed_scores(name: str, net: Net, inputs: Tensor) -> None:
    wanted = scored(net, inputs, name).values
    found = scored(Renamed(net), inputs, name).values
    assert torch.equal(found["first"], wanted["one"])
    assert torch.equal(found["second"], wanted["two"])


@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_with_float64(name: str, net: Net, inputs: Tensor) -> None:
    single = scored(net, inputs, name)
    assert_same(single, scored(copy.deepcopy(net).double(), inputs.double(), name), 1e-5)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"chance"}))
def test_a_dead_unit_scores_lowest(name: str, net: Net, inputs: Tensor) -> None:
    values = scored(net, inputs, name).values["one"]
    assert int(values.argmin()) == 2
    assert float(values[2]) < float(values[torch.arange(WIDTH) != 2].min())


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"chance", "magnitude"}))
def test_one_row_of_data_is_an_error(name: str, net: Net) -> None:
    task = task_of(torch.randn(1, FEATURES))
    sites = find_sites(net, torch.randn(4, FEATURES))
    with pytest.raises(DataError, match="1 row"):
        methods.score(net, sites, task, name)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"chance"}))
def test_scores_agree_with_the_literal_equations(name: str, net: Net, inputs: Tensor) -> None:
    oracle = import_module(f"oracles.{name}")
    with torch.no_grad():
        one = torch.tanh(net.one(inputs))
        outputs = {"one": one, "two": torch.tanh(net.two(one))}
    weights = {"one": (net.one, net.two), "two": (net.two, net.head)}
    for site, values in scored(net, inputs, name).values.items():
        makes, reads = (layer.weight.detach().double().numpy() for layer in weights[site])
        wanted = oracle.scores(outputs[site].double().numpy(), makes, reads.T)
        np.testing.assert_allclose(values.numpy(), wanted, rtol=1e-6, atol=1e-12)


def test_several_methods_at_once_score_as_each_alone(net: Net, inputs: Tensor) -> None:
    task = task_of(inputs, 16)
    sites = find_sites(net, task)
    chosen = [methods.get(name) for name in NAMES]
    together = methods.score_all(net, sites, task, chosen)
    assert list(together) == list(NAMES)
    for method in chosen:
        assert_same(together[method.name], method.score(net, sites, task))


def test_several_methods_share_one_pass_over_the_data(net: Net, inputs: Tensor) -> None:
    passes = []

    class Counted(list):  # type: ignore[type-arg]
        def __iter__(self) -> object:
            passes.append(1)
            return super().__iter__()

    batches = Counted([(inputs, torch.zeros(ROWS, dtype=torch.long))])
    task = Task.classification(train=batches)
    sites: Sites = find_sites(net, inputs)
    chosen = [methods.get(name) for name in NAMES]
    methods.score(net, sites, task, "dense")
    alone = len(passes)
    passes.clear()
    methods.score_all(net, sites, task, chosen)
    assert len(passes) == alone


def test_weighted_variability_is_the_squared_error_of_silencing_by_the_mean(net: Net, inputs: Tensor) -> None:
    task = task_of(inputs)
    sites = find_sites(net, task)
    found = methods.score(net, sites, task, methods.get("dense", measure="weighted")).values["one"]
    with torch.no_grad():
        hidden = torch.tanh(net.one(inputs))
        plain = net.two(hidden)
        for unit in range(WIDTH):
            silenced = hidden.clone()
            silenced[:, unit] = hidden[:, unit].mean()
            error = (net.two(silenced) - plain).square().sum(1).mean()
            torch.testing.assert_close(found[unit].float(), error, rtol=1e-4, atol=1e-7)


def test_std_is_the_root_of_the_variance(net: Net, inputs: Tensor) -> None:
    task = task_of(inputs)
    sites = find_sites(net, task)
    std = methods.score(net, sites, task, methods.get("dense", measure="std")).values["two"]
    torch.testing.assert_close(std.square(), methods.score(net, sites, task, "dense").values["two"])


def test_the_sum_of_absolute_weights_is_a_setting_of_magnitude(net: Net, inputs: Tensor) -> None:
    task = task_of(inputs)
    found = methods.score(net, find_sites(net, task), task, methods.get("magnitude", p=1)).values["two"]
    torch.testing.assert_close(found.float(), net.two.weight.detach().abs().sum(1))


def test_chance_is_uniform_and_follows_its_seed(inputs: Tensor) -> None:
    wide = nn.Sequential(nn.Linear(FEATURES, 4000), nn.ReLU(), nn.Linear(4000, 2))
    task = task_of(inputs)
    sites = find_sites(wide, task)
    first, again, other = (
        methods.score(wide, sites, task, methods.get("chance", seed=seed)).values["0"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    counts = torch.histc(first.float(), bins=10, min=0, max=1)
    chi_square = float(((counts - 400) ** 2 / 400).sum())
    assert chi_square < 27.9  # 9 degrees of freedom, p = 0.001
    assert float(torch.corrcoef(torch.stack([first, other]))[0, 1].abs()) < 0.06


def test_an_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean magnitude"):
        methods.get("magnitud")


def test_an_unknown_setting_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean measure"):
        methods.get("dense", mesure="std")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "setting"), [("dense", {"measure": "entropy"}), ("magnitude", {"p": 3})])
def test_an_impossible_setting_is_refused(name: str, setting: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        methods.get(name, **setting)
