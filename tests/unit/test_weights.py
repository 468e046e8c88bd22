"""The weights that make units and read them."""

import torch
from torch import Tensor, nn

from secateur.finding import find_sites
from secateur.weights import making, reading


class Meeting(nn.Module):
    """Two layers that make each unit together, read by two, once doubled; one weight lies the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Parameter(torch.randn(3, 4))
        self.first, self.second = nn.Linear(4, 2), nn.Linear(8, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.left(x) + x @ self.right
        return self.first(hidden) + self.second(torch.cat([hidden, hidden.tanh()], 1))


def test_incoming_weights_are_those_of_every_layer_that_makes_a_unit() -> None:
    model = Meeting()
    (site,) = find_sites(model, torch.randn(5, 3))
    found = making(model, site)
    assert found.dtype == torch.float64
    wanted = torch.cat([model.left.weight, model.right.T], 1).double()
    assert sorted(found.flatten().tolist()) == sorted(wanted.flatten().tolist())
    torch.testing.assert_close(found.square().sum(1), wanted.square().sum(1))


def test_outgoing_weights_are_those_of_every_layer_that_reads_a_unit() -> None:
    model = Meeting()
    (site,) = find_sites(model, torch.randn(5, 3))
    wanted = torch.cat([model.first.weight, model.second.weight[:, :4], model.second.weight[:, 4:]]).T.double()
    found = reading(model, site)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.square().sum(1), wanted.square().sum(1))
    torch.testing.assert_close(found.sum(1), wanted.sum(1))


def test_units_that_are_only_summed_up_are_read_by_one() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x).sum(1)

    model = Summed()
    (site,) = find_sites(model, torch.randn(5, 3))
    assert torch.equal(reading(model, site), torch.ones(4, 1, dtype=torch.float64))
