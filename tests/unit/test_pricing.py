"""What each candidate would save: figures by hand, and the network left as it was."""

import pytest
import torch
from torch import nn

from footprint import untouched
from secateur.errors import SettingsError, UnknownNameError
from secateur.pricing import Price, Timing, price_layers
from secateur.result import Event

pytestmark = pytest.mark.usefixtures("quick")


def net() -> nn.Sequential:
    """An MLP whose widest stretch becomes cheaper as one layer, and a pair that does not."""
    wide = nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 8), nn.Tanh()
    return nn.Sequential(*wide, nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


WHOLE = (6 * 40 + 40 * 8 + 8 * 2 + 2 * 8 + 8 * 3, (7 * 40 + 41 * 8 + 9 * 2 + 3 * 8 + 9 * 3), 5)


def figures(price: Price) -> tuple[int, int, int]:
    return price.after.macs, price.after.parameters, price.after.layers


def test_a_stretch_as_one_layer_costs_what_that_layer_does() -> None:
    model, x = net(), torch.randn(2, 6)
    heard: list[Event] = []
    with untouched(model):
        wide, narrow = price_layers(model, x, watch=heard.append)
    assert (wide.before.macs, wide.before.parameters, wide.before.layers) == WHOLE
    macs, parameters, layers = WHOLE
    assert figures(wide) == (macs - 560 + 48, parameters - (280 + 328) + 56, layers - 1)
    assert figures(narrow) == (macs - 32 + 64, parameters - (18 + 24) + 72, layers - 1)
    assert (wide.activations, wide.latency, wide.refused) == (1, None, "")
    assert [(event.done, event.total) for event in heard] == [(0, 2), (1, 2)]


@pytest.mark.parametrize("become", ["affine", "identity", "on_off"])
def test_an_activation_made_linear_is_folded_only_where_that_pays(become: str) -> None:
    wide, narrow = price_layers(net(), torch.randn(2, 6), become=become)  # type: ignore[arg-type]
    macs, _, layers = WHOLE
    assert (wide.after.macs, wide.after.layers) == (macs - 560 + 48, layers - 1)
    assert (narrow.after.macs, narrow.after.layers) == (macs, layers)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(self.act(self.inner(x)))


def test_a_dropped_block_leaves_nothing_and_what_has_no_path_is_no_candidate() -> None:
    model = nn.Sequential(nn.Linear(4, 6), Block(), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    (price,) = price_layers(model, torch.randn(2, 4), become="drop", timing=Timing(batch_size=2))
    assert price.before.macs - price.after.macs == 2 * 72
    assert price.before.layers - price.after.layers == 2
    assert price.latency is not None
    assert [(each.batch_size, each.threads) for each in price.latency] == [(2, 1)] * 2
    assert all(each.median_ms > 0 for each in price.latency)


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_priced_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="collapse"):
        price_layers(net(), torch.randn(2, 6), become="colapse")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="batch_size"):
        price_layers(net(), torch.randn(2, 6), timing=Timing(batch_size=0))
