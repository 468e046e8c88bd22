"""Weights without values, in others' memory, or computed from others: refused by name, or cut exactly."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import secateur as sc
from chains import Chain, assert_cut_is_exact, refusal, rows
from footprint import untouched

pytestmark = pytest.mark.usefixtures("quiet")


# --- weights without values, of their own kind, in others' memory -----------------------------------------------------


def _meta_buffer() -> nn.Module:
    model = Chain()
    model.register_buffer("table", torch.zeros(3, device="meta"), persistent=False)
    return model


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Chain().to("meta"), "first.weight"),
        (lambda: nn.Sequential(nn.Linear(4, 6), nn.LazyLinear(3)), "1.weight"),
        (_meta_buffer, "table"),
    ],
    ids=["meta", "lazy", "buffer"],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_weights_without_values_are_refused_by_name(make: Callable[[], nn.Module], name: str) -> None:
    wanted = f"{name}: has no values yet; run the model once, on a device other than meta, first."
    assert refusal(make()) == wanted


def test_parameters_that_share_memory_by_halves_are_refused_and_those_side_by_side_are_cut() -> None:
    model = Chain()
    memory = rows(60)
    model.second.weight = nn.Parameter(memory[:30].view(5, 6))
    model.first.weight = nn.Parameter(memory[30:54].view(4, 6).t())
    assert_cut_is_exact(model, {"first": (0, 3), "second": (4,)}, {"second": (0, 3), "last": (4,)})
    model.first.weight = nn.Parameter(memory[29:53].view(6, 4))
    assert refusal(model) == (
        "second.weight: shares its memory with first.weight, but is another parameter; make them one "
        "(model.second.weight = model.first.weight), or give it memory of its own."
    )


def test_a_parameter_of_one_entry_expanded_is_refused() -> None:
    model = Chain()
    model.first.bias = nn.Parameter(torch.ones(1).expand(6))
    wanted = "first.bias: 6 entries that are one in memory (expanded); give each its own (contiguous())."
    assert refusal(model) == wanted


def test_a_module_called_twice_is_cut_for_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.shared(self.shared(self.first(x).relu()).relu()).relu())

    small = assert_cut_is_exact(Twice(), {"first": (1, 2)}, {"shared": (1, 2), "last": (1, 2)})
    assert small.shared.weight.shape == (4, 4)


# --- weights that are computed from others ----------------------------------------------------------------------------


COMPUTED = {"weight_norm": parametrizations.weight_norm, "spectral_norm": parametrizations.spectral_norm}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_beside_a_parametrized_one_is_cut_and_that_one_left_alone(name: str, training: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 3))
    COMPUTED[name](model[1])
    model.train(training)
    with untouched(model):
        sites = sc.find_sites(model, rows(5, 4))
        small = sc.apply(model, sc.plan_of(sites, {"3": (0, 2)}), verify=True, example=rows(5, 4))
    assert "0" not in sites.names
    assert parametrize.is_parametrized(small[1])
    for one, other in zip(small[1].state_dict().values(), model[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    reader = model[4].weight[:, [1, 3, 4]]
    wanted = model.eval()[:4](rows(5, 4))[:, [1, 3, 4]] @ reader.T + model[4].bias
    torch.testing.assert_close(small.eval()(rows(5, 4)), wanted)


@pytest.mark.parametrize("name", COMPUTED)
def test_where_parametrized_layers_hold_everything_the_way_out_is_named(name: str) -> None:
    model = Chain()
    for layer in (model.first, model.second, model.last):
        COMPUTED[name](layer)
    found = refusal(model)
    assert found.startswith("Chain: nothing can be removed: ")
    remedy = 'torch.nn.utils.parametrize.remove_parametrizations(model.first, "weight")'
    assert found.endswith(f" first.weight is computed by a parametrization; bake it in first: {remedy}.")
    for layer in (model.first, model.second, model.last):
        parametrize.remove_parametrizations(layer, "weight")
    assert_cut_is_exact(model, {"first": (0, 3), "second": (4,)}, {"second": (0, 3), "last": (4,)})


def _old_weight_norm(model: Chain) -> None:
    torch.nn.utils.weight_norm(model.second)


def _pruned(model: Chain) -> None:
    prune.l1_unstructured(model.second, "weight", 0.3)


def _left_over(model: Chain) -> None:
    model.second.answer = model.first(rows(5, 4))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    ("change", "name"), [(_old_weight_norm, "weight"), (_pruned, "weight"), (_left_over, "answer")]
)
def test_results_that_lie_on_modules_are_refused_by_name(change: Callable[[Chain], None], name: str) -> None:
    model = Chain()
    change(model)
    assert refusal(model) == (
        f"Chain: the model cannot be copied: second.{name} is a result with its gradients' graph, left from an earlier "
        "pass; bake it in (remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils) or delete it."
    )
