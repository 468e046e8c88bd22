"""Networks by name, and the feed-forward one."""

import copy
import importlib
import pkgutil
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur import zoo
from secateur.errors import CompressionError, SettingsError, UnknownNameError
from secateur.zoo import registry
from secateur.zoo.mlp import ACTIVATIONS, MLP, NORMS

WIDTHS = {"features": 5, "outputs": 3}
STOCK = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout, nn.Sequential, nn.ModuleList, *ACTIVATIONS.values())


def by_hand(model: MLP, x: torch.Tensor, skip: bool) -> torch.Tensor:
    """The oracle: the network as its definition says, layer by layer."""
    for number, layer in enumerate(model.layers):
        before = x
        for module in layer:
            x = module(x)
        if skip and number > 0 and before.shape == x.shape:
            x = before + x
    return model.head(x)


@given(
    hidden=st.lists(st.sampled_from([1, 4, 6]), max_size=4),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    norm=st.sampled_from(sorted(NORMS)),
    dropout=st.sampled_from([0.0, 0.5]),
)
def test_an_mlp_is_its_definition(hidden: list[int], activation: str, norm: str, dropout: float) -> None:
    skip = any(a == b for a, b in pairwise(hidden))
    options = {"activation": activation, "norm": norm, "dropout": dropout, "skip": skip}
    model = zoo.build("mlp", **WIDTHS, hidden=tuple(hidden), **options).eval()
    assert isinstance(model, MLP)
    assert [layer.linear.out_features for layer in model.layers] == hidden
    assert all(isinstance(module, STOCK) for module in model.modules() if module is not model)
    assert sum(isinstance(module, nn.Dropout) for module in model.modules()) == len(hidden) * (dropout > 0)
    for kind, normal in (("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)):
        assert sum(isinstance(module, normal) for module in model.modules()) == len(hidden) * (norm == kind)
    x = torch.randn(7, 5)
    output = model(x)
    assert output.shape == (7, 3)
    assert torch.equal(output, by_hand(model, x, skip))


def test_the_parameters_are_counted_by_the_formula() -> None:
    model = zoo.build("mlp", **WIDTHS, hidden="8,6", norm="batch")
    assert sum(p.numel() for p in model.parameters()) == (5 + 1) * 8 + 2 * 8 + (8 + 1) * 6 + 2 * 6 + (6 + 1) * 3


def test_skips_join_hidden_layers_of_equal_width_only() -> None:
    model = zoo.build("mlp", features=4, outputs=1, hidden=(4, 4, 6, 6), skip=True)
    assert model.skips == (False, True, False, True)
    for layer in model.layers:
        nn.init.zeros_(layer.linear.weight)
        nn.init.zeros_(layer.linear.bias)
    with torch.no_grad():
        model.layers[0].linear.bias.fill_(2.0)
        model.layers[2].linear.weight.fill_(1.0)
    assert torch.equal(model(torch.randn(2, 4)), model.head(torch.full((2, 6), 8.0)))


def test_text_and_values_build_the_same_network() -> None:
    name, options = zoo.parse("mlp?hidden=8,8&norm=batch&dropout=0.25&skip=1&activation=gelu&features=5&outputs=3")
    values = {"hidden": [8, 8], "norm": "batch", "dropout": 0.25, "skip": True, "activation": "gelu", **WIDTHS}
    assert str(zoo.build(name, **options)) == str(zoo.build("mlp", **values))
    assert zoo.build(name, **options).skips == (False, True)


def test_the_defaults_are_four_wide_layers() -> None:
    assert zoo.parse("mlp") == ("mlp", {})
    model = zoo.build("mlp", **WIDTHS)
    assert [layer.linear.out_features for layer in model.layers] == [256] * 4


def test_no_hidden_layer_leaves_a_linear_model() -> None:
    model = zoo.build("mlp", **WIDTHS, hidden="")
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]


def test_a_seed_repeats_a_network() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(copy.deepcopy(zoo.build("mlp", **WIDTHS).state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_every_file_with_a_table_is_in_the_zoo_and_no_name_is_in_two() -> None:
    files = [importlib.import_module(f"secateur.zoo.{file.name}") for file in pkgutil.iter_modules(zoo.__path__)]
    tables = [vars(file)["MODELS"] for file in files if file is not registry and "MODELS" in vars(file)]
    assert sorted(name for table in tables for name in table) == list(zoo.names())


def test_an_example_is_two_rows_the_same_for_everybody_and_draws_from_no_shared_generator() -> None:
    state = torch.get_rng_state()
    first, again = zoo.example("mlp", **WIDTHS), zoo.example("mlp", features="5", outputs="3")
    assert first.shape == (2, 5) and torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_options_are_the_settings_that_a_name_does_not_fix() -> None:
    assert zoo.options_of("mlp") == ("features", "outputs", "hidden", "activation", "norm", "dropout", "skip")
    assert zoo.options_of("resnet20") == ("shortcut", "data", "outputs", "channels")


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_an_mlp_can_be_exported(norm: str, skip: bool) -> None:
    model = zoo.build("mlp", **WIDTHS, hidden="4,4", norm=norm, dropout=0.1, skip=skip).eval()
    x = torch.randn(2, 5)
    assert torch.equal(torch.export.export(model, (x,), strict=False).module()(x), model(x))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"features": 5}, SettingsError, "outputs not given"),
        ({"features": None, "outputs": None}, SettingsError, "features and outputs not given.*features=...&outputs="),
        ({**WIDTHS, "hiden": "3"}, UnknownNameError, "'hiden' is not a known option of mlp; did you mean hidden"),
        ({**WIDTHS, "hidden": "3,x"}, SettingsError, "hidden='3,x'; it must be whole numbers"),
        ({**WIDTHS, "hidden": "3,0"}, SettingsError, "hidden=0; a width must be at least 1"),
        ({**WIDTHS, "features": "-1"}, SettingsError, "features=-1"),
        ({**WIDTHS, "outputs": "1.5"}, SettingsError, "outputs='1.5'; it must be a whole number"),
        ({**WIDTHS, "activation": "rellu"}, UnknownNameError, "did you mean relu"),
        ({**WIDTHS, "norm": "bach"}, UnknownNameError, "did you mean batch"),
        ({**WIDTHS, "dropout": "1"}, SettingsError, r"dropout=1\.0"),
        ({**WIDTHS, "dropout": "-0.1"}, SettingsError, r"dropout=-0\.1"),
        ({**WIDTHS, "dropout": "nan"}, SettingsError, "dropout=nan"),
        ({**WIDTHS, "skip": "maybe"}, SettingsError, "skip='maybe'; it must be 0 or 1"),
        ({**WIDTHS, "skip": "1", "hidden": "3,4"}, SettingsError, r"equal width, but they are \(3, 4\)"),
    ],
)
def test_an_option_outside_its_range_is_refused(
    options: Mapping[str, Any], kind: type[CompressionError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        zoo.build("mlp", **options)


@pytest.mark.parametrize(
    ("tail", "kind", "words"),
    [
        ("mpl?hidden=3", UnknownNameError, "'mpl' is not a known model of the zoo; did you mean mlp"),
        ("registry", UnknownNameError, "'registry' is not a known model"),
        ("", UnknownNameError, "known: densenet, densenet40, lenet, mlp, mobilenet_v1"),
        ("resnet21", UnknownNameError, "did you mean .*resnet20"),
        ("resnet20?blocks=4", UnknownNameError, "'blocks' is not a known option of resnet20"),
        ("mlp?hiden=3", UnknownNameError, "did you mean hidden"),
        ("mlp?hidden", SettingsError, "hidden has no value"),
        ("mlp?skip=1&skip=0", SettingsError, "skip is given twice"),
    ],
)
def test_an_address_that_is_none_is_refused(tail: str, kind: type[CompressionError], words: str) -> None:
    with pytest.raises(kind, match=words):
        zoo.parse(tail)
