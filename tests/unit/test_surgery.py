"""Surgery: removing units equals silencing what reads them, for any network and any units."""

import copy
from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network, Step, Units, plain
from footprint import untouched
from secateur.budget import plan_of
from secateur.errors import ExactnessError, ModelError, PlanError
from secateur.finding import find_sites
from secateur.inference import evaluating
from secateur.plan import Plan
from secateur.sites import Site, Sites
from secateur.surgery import apply, certify, silenced
from secateur.task import Task
from secateur.tracing import sites_in, trace
from secateur.width import tensors_of
from strategies import architectures, removals

ROWS = 9


def rows_for(architecture: Architecture, dtype: torch.dtype, seed: int = 1) -> Tensor:
    shape = (ROWS, architecture.tokens, architecture.features) if architecture.tokens else (ROWS, architecture.features)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def answer(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model) as predict:
        return predict(((x,), {}))


def largest_difference(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest wanted entry."""
    assert found.shape == wanted.shape
    scale = float(wanted.abs().max())
    return float((found.double() - wanted.double()).abs().max()) / (scale or 1.0)


def gone_of(units: Units, sites: Sites, removed: Mapping[str, Sequence[int]]) -> set[tuple[str, int, int]]:
    """The removed units as the network itself knows them."""
    return {unit_of(units, sites[name], unit) for name, chosen in removed.items() for unit in chosen}


def unit_of(units: Units, site: Site, unit: int) -> tuple[str, int, int]:
    made = site.made_by[0]
    return units.of((made.tensor, made.axis, made.entries(unit)[0]))


def found_sites(network: nn.Module, x: Tensor) -> Sites:
    """The sites of a network, none where nothing can be removed."""
    try:
        return find_sites(network, x)
    except ModelError as error:
        if "nothing can be removed" not in str(error):
            raise
        return Sites(())


# --- any network, any units -------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(architectures(), st.sampled_from((torch.float64, torch.float32)), st.data())
def test_removing_units_equals_silencing_what_reads_them(
    architecture: Architecture, dtype: torch.dtype, data: st.DataObject
) -> None:
    network = Network(architecture).to(dtype)
    x = rows_for(architecture, dtype)
    sites = found_sites(network, x)
    removed = data.draw(removals(sites))
    units = Units(network)
    exact = copy.deepcopy(network).double()
    gone = gone_of(units, sites, removed)

    small = apply(network, plan_of(sites, removed), verify=len(sites) > 0, example=x)

    rounding = largest_difference(answer(network, x), plain(exact, x.double(), set()))
    assert rounding <= (1e-10 if dtype == torch.float64 else 1e-4)
    tolerance = 1e-10 if dtype == torch.float64 else max(1e-5, 10 * rounding)
    assert largest_difference(answer(small, x), plain(exact, x.double(), gone)) <= tolerance
    assert_tensors_are_the_kept_entries(network, small, units, gone)


def assert_tensors_are_the_kept_entries(
    network: Network, small: nn.Module, units: Units, gone: set[tuple[str, int, int]]
) -> None:
    after = tensors_of(small)
    for name, whole in tensors_of(network).items():
        kept = whole
        for axis, size in enumerate(whole.shape):
            entries = [entry for entry in range(size) if units.of((name, axis, entry)) not in gone]
            kept = kept.index_select(axis, torch.tensor(entries, dtype=torch.long))
        if isinstance(small.get_submodule(name.rpartition(".")[0]), nn.Identity):
            continue  # a norm that lost everything is no more
        assert torch.equal(after[name], kept), name
        assert after[name].dtype == whole.dtype


@settings(max_examples=15)
@given(architectures())
def test_every_unit_that_can_go_is_found_and_no_other(architecture: Architecture) -> None:
    network = Network(architecture)
    units = Units(network)
    sites = found_sites(network, rows_for(architecture, torch.float32))
    found = [unit_of(units, site, unit) for site in sites for unit in range(site.units)]
    assert len(found) == len(set(found))
    assert set(found) == units.removable


@settings(max_examples=12)
@given(architectures(), st.data())
def test_the_oracle_of_verification_agrees_with_masking_by_hand(
    architecture: Architecture, data: st.DataObject
) -> None:
    network = Network(architecture).double()
    x = rows_for(architecture, torch.float64)
    sites = found_sites(network, x)
    removed = {name: units for name, units in data.draw(removals(sites)).items() if units}
    with evaluating(network):
        found = silenced(trace(network, x), sites, removed, ((x,), {}))
    wanted = plain(network, x, gone_of(Units(network), sites, removed))
    assert largest_difference(found, wanted) <= 1e-10


@settings(max_examples=8)
@given(architectures(), st.data())
def test_a_cut_network_can_be_cut_again(architecture: Architecture, data: st.DataObject) -> None:
    network = Network(architecture).double()
    x = rows_for(architecture, torch.float64)
    sites = found_sites(network, x)
    once = apply(network, plan_of(sites, data.draw(removals(sites))))
    again = found_sites(once, x)
    removed = data.draw(removals(again))
    if again.sites:
        apply(once, plan_of(again, removed), verify=True, example=x)


# --- chosen networks --------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A skip around an inner layer with a norm, so that the whole inner layer can go."""

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.inner = nn.Linear(6, 5)
        self.norm = norm or nn.LayerNorm(5)
        self.outer = nn.Linear(5, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(x + self.outer(self.norm(self.inner(x)).relu()))


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("norm", [nn.LayerNorm(5), nn.BatchNorm1d(5), nn.PReLU(5)], ids=["layer", "batch", "prelu"])
def test_a_layer_that_loses_all_units_leaves_its_readers_constant(norm: nn.Module) -> None:
    model = Residual(norm)
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"inner": range(5)}), verify=True, example=rows(5, 4))
    x = model.first(rows(5, 4)).relu()
    wanted = model.last(x + model.outer.bias)
    torch.testing.assert_close(small(rows(5, 4)), wanted)
    assert isinstance(small.norm, nn.Identity)
    assert [name for name, _ in small.named_modules()] == [name for name, _ in model.named_modules()]


def test_nothing_removed_gives_an_equal_network() -> None:
    model = Residual()
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {}), verify=True, example=rows(5, 4))
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), model.parameters(), strict=True))
    assert small is not model


def test_removed_units_leave_the_statistics_of_a_layer_norm() -> None:
    model = Residual()
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"inner": (1, 3)}))
    x = model.first(rows(5, 4)).relu()
    kept = model.inner(x)[:, [0, 2, 4]]
    normed = torch.nn.functional.layer_norm(kept, (3,), model.norm.weight[[0, 2, 4]], model.norm.bias[[0, 2, 4]])
    wanted = model.last(x + normed.relu() @ model.outer.weight[:, [0, 2, 4]].T + model.outer.bias)
    torch.testing.assert_close(small(rows(5, 4)), wanted)


def test_attributes_tell_the_new_sizes() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.PReLU(6), nn.LayerNorm(6), nn.Linear(6, 2))
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"0": (0, 5)}))
    linear, batch, prelu, layer, head = small
    assert (linear.in_features, linear.out_features) == (4, 4)
    assert (batch.num_features, prelu.num_parameters, layer.normalized_shape) == (4, 4, (4,))
    assert (head.in_features, head.out_features) == (4, 2)


def test_a_cut_network_trains() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"0": (0, 5)})).train()
    small(rows(5, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(6, 5)
        self.third.weight = self.second.weight
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(self.second(x).relu() + self.third(x.tanh()))


def test_tied_weights_stay_tied() -> None:
    model = Tied()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, dict.fromkeys(sites.names, (0, 2))), verify=True, example=rows(5, 4))
    assert small.second.weight is small.third.weight
    assert small.second.weight.shape == (3, 4)
    assert small.second.weight is not model.second.weight


def test_a_weight_used_from_both_sides_stays_one_weight() -> None:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(rows(6, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.weight.T) @ self.weight

    small = apply(
        Autoencoder(), plan_of(find_sites(Autoencoder(), rows(5, 4)), {"weight": (1,)}), verify=True, example=rows(5, 4)
    )
    assert small.weight.shape == (5, 4)


def test_frozen_weights_are_cut_and_stay_frozen() -> None:
    model = Residual()
    model.inner.requires_grad_(False)
    small = apply(model, plan_of(find_sites(model, rows(5, 4)), {"inner": (0,)}))
    frozen = {name for name, parameter in small.named_parameters() if not parameter.requires_grad}
    assert frozen == {"inner.weight", "inner.bias"}
    assert small.inner.weight.shape == (4, 6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_kind_of_number_stays(dtype: torch.dtype) -> None:
    model = Residual().to(dtype)
    x = rows(5, 4).to(dtype)
    plan = plan_of(find_sites(model, x), {"inner": (0, 1)})
    small = apply(model, plan, verify=True, example=x)
    assert {tensor.dtype for tensor in small.state_dict().values()} == {dtype}
    assert certify(small, model, plan, x).dtype in (str(dtype).removeprefix("torch."), "float64")


def test_a_plan_is_applied_on_shapes_alone() -> None:
    model = Residual()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1), "first": (5,)})
    shapes = {name: tensor.shape for name, tensor in apply(copy.deepcopy(model).to("meta"), plan).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in apply(model, plan).state_dict().items()}


def test_the_given_model_is_never_touched() -> None:
    model = Residual(nn.BatchNorm1d(5)).train()
    model.norm.eval()
    model(rows(5, 4)).sum().backward()
    with untouched(model):
        sites = find_sites(model, rows(5, 4))
        apply(model, plan_of(sites, {"inner": (0, 1)}), verify=True, example=rows(5, 4))


# --- verification -----------------------------------------------------------------------------------------------------


def test_verification_needs_an_example() -> None:
    with pytest.raises(PlanError, match="example"):
        apply(Residual(), Plan("none"), verify=True)


def test_verification_takes_a_task() -> None:
    model = Residual()
    task = Task.regression(calibration=[(rows(40, 4), rows(40, 3))])
    plan = plan_of(find_sites(model, task), {"inner": (0,)})
    certificate = certify(apply(model, plan), model, plan, task)
    assert certificate.inputs.startswith("16 rows")
    assert certificate.relative_difference <= certificate.tolerance == 1e-5


def test_a_network_that_is_not_the_silenced_one_is_refused() -> None:
    model = Residual()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    small = apply(model, plan)
    with torch.no_grad():
        small.last.weight[0, 0] += 0.01
    with pytest.raises(ExactnessError, match=r"Residual: .* differs .*tolerance 1e-10"):
        certify(small, model, plan, rows(5, 4))


def test_a_network_cut_by_another_plan_is_refused() -> None:
    model = Residual()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"inner": (0, 1)}))
    with pytest.raises(ExactnessError, match="differs"):
        certify(small, model, plan_of(sites, {"inner": (1, 2)}), rows(5, 4))


def test_a_difference_in_a_later_output_counts() -> None:
    class Two(Residual):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.sum(-1), super().forward(x)

    model = Two()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    small = apply(model, plan)
    with torch.no_grad():
        small.last.bias[0] = float("nan")
    with pytest.raises(ExactnessError, match="nan"):
        certify(small, model, plan, rows(5, 4))


def test_outputs_that_are_no_numbers_are_compared_too() -> None:
    class Flagged(Residual):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            scores = super().forward(x)
            return scores, scores > 0

    model = Flagged()
    plan = plan_of(find_sites(model, rows(5, 4)), {"inner": (0, 1)})
    assert certify(apply(model, plan), model, plan, rows(5, 4)).relative_difference <= 1e-5


class Sized(nn.Module):
    """A forward that holds the width of its hidden layer."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Linear(4, 6), nn.Linear(6, 2), how

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        match self.how:
            case "divided by it":
                return self.last(hidden / hidden.shape[1])
            case "viewed as it":
                return self.last(hidden.view(-1, 6))
        return hidden.view(-1, 6).sum(1)


@pytest.mark.parametrize(
    ("how", "why"), [("divided by it", "differs"), ("viewed as it", "does not run"), ("", "puts out")]
)
def test_a_forward_that_holds_a_width_is_found_out(how: str, why: str) -> None:
    model = Sized(how)
    plan = plan_of(find_sites(model, rows(6, 4)), {"first": (0, 1, 2)})
    with pytest.raises(ExactnessError, match=why) as raised:
        apply(model, plan, verify=True, example=rows(6, 4))
    assert "x.shape" in str(raised.value)


def test_a_mask_and_a_sum_are_silenced_where_they_are_read() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.register_buffer("mask", rows(6), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return (torch.exp(self.first(x)) * self.mask).sum(1, keepdim=True)

    model = Summed()
    sites = find_sites(model, rows(5, 4))
    small = apply(model, plan_of(sites, {"first": (0, 3)}), verify=True, example=rows(5, 4))
    kept = [1, 2, 4, 5]
    assert torch.equal(small.mask, model.mask[kept])
    wanted = (model.first(rows(5, 4)).exp()[:, kept] * model.mask[kept]).sum(1, keepdim=True)
    torch.testing.assert_close(small(rows(5, 4)), wanted)


def test_the_networks_of_these_tests_compute_what_their_plain_form_does() -> None:
    steps = (Step("linear", (0,), 4, "module"), Step("norm", (1,), 4, "layer"), Step("linear", (2,), 2, "matmul"))
    network = Network(Architecture(3, steps)).double()
    x = rows(5, 3).double()
    torch.testing.assert_close(plain(network, x, set()), answer(network, x))


def test_sites_of_a_graph_are_those_of_its_model() -> None:
    model = Residual()
    assert sites_in(trace(model, rows(5, 4))) == find_sites(model, rows(5, 4))
