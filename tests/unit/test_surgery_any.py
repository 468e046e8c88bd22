"""Surgery: removing units equals silencing what reads them, for any network and any units."""

import copy
from collections.abc import Mapping, Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network, Step, Units, plain
from residual import Residual, rows
from secateur.budget import plan_of
from secateur.errors import ModelError
from secateur.finding import find_sites
from secateur.inference import evaluating
from secateur.reading import silenced
from secateur.sites import Site, Sites
from secateur.surgery import apply
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


# --- verification -----------------------------------------------------------------------------------------------------


def test_the_networks_of_these_tests_compute_what_their_plain_form_does() -> None:
    steps = (Step("linear", (0,), 4, "module"), Step("norm", (1,), 4, "layer"), Step("linear", (2,), 2, "matmul"))
    network = Network(Architecture(3, steps)).double()
    x = rows(5, 3).double()
    torch.testing.assert_close(plain(network, x, set()), answer(network, x))


def test_sites_of_a_graph_are_those_of_its_model() -> None:
    model = Residual()
    assert sites_in(trace(model, rows(5, 4))) == find_sites(model, rows(5, 4))
