"""Convolutions whose weights are standardised in the forward: what reads with them stays, what else there is goes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import secateur as sc
from secateur.errors import ModelError


class Standardised(nn.Conv2d):
    """A convolution as in NFNets: every filter of its weight with mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def net(*groups: int) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3)]
    for number in groups:
        layers += [nn.ReLU(), Standardised(8, 8, 3, groups=number)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


@pytest.mark.parametrize("groups", [1, 2])
def test_its_filters_go_and_what_it_reads_stays(groups: int) -> None:
    model, example = net(groups), (torch.randn(2, 3, 9, 9),)
    sites = sc.find_sites(model, example)
    assert sites.names == ("2",)
    assert any("batch_norm" in str(pin) or "conv2d" in str(pin) for pin in sites.pinned)
    scores = sc.score(model, sites, sc.Task.classification(), sc.methods.get("magnitude"))
    plan = sc.select(scores, sites, sc.Count(4))
    assert sc.apply(model, plan, verify=True, example=example)(*example).shape == (2, 4)
    gone = list(plan.removed["2"])
    with torch.no_grad():
        wanted = model[:-1](*example)
        wanted[:, gone] = 0.0
        torch.testing.assert_close(sc.apply(model, plan)(*example), model[-1](wanted))


def test_a_network_that_reads_everything_so_says_why_nothing_can_go() -> None:
    model = net(1)
    last = nn.Sequential(*model[:-1], nn.Flatten(), nn.Unflatten(1, (8, 1, 1)), Standardised(8, 4, 1))
    with pytest.raises(ModelError, match="its statistics are of all entries of a channel"):
        sc.find_sites(last, (torch.randn(2, 3, 9, 9),))
