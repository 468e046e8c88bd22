"""Groups of real networks: what goes together is what torch-pruning takes together, where it supports the network."""

import pytest
import torch
from torch import nn

from compat.catalogue import Entry, entries
from peer_groups import groups_of_ours, groups_of_peer, is_depthwise
from secateur.finding import find_sites

SUPPORTED = (
    "zoo:vgg16_bn",
    "zoo:densenet40",
    "zoo:mobilenet_v2",
    "zoo:mobilenet_v1",
    "torchvision:alexnet",
    "torchvision:vgg16",
    "torchvision:vgg16_bn",
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:wide_resnet50_2",
    "torchvision:densenet121",
    "torchvision:squeezenet1_1",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_large",
    "torchvision:mnasnet1_0",
    "torchvision:efficientnet_b0",
    "torchvision:inception_v3",
    "torchvision:segmentation.fcn_resnet50",
    "timm:dla34",
    "timm:hrnet_w18",
    "timm:ghostnet_100",
    "timm:xception41",
    "timm:inception_v4",
)


@pytest.mark.parametrize("entry", [e for e in entries().values() if e.name in SUPPORTED], ids=lambda e: e.name)
def test_groups_equal_those_of_torch_pruning(entry: Entry) -> None:
    torch.manual_seed(0)
    model, example = entry.build().eval(), entry.example()
    assert isinstance(example, torch.Tensor) and not _grouped(model)
    theirs = groups_of_peer(entry.build().eval(), example)
    ours = groups_of_ours(model, find_sites(model, example))
    assert len(theirs) > 10
    assert sorted(map(sorted, ours - theirs))[:3] == []
    assert sorted(map(sorted, theirs - ours))[:3] == []


def _grouped(model: nn.Module) -> list[str]:
    """Convolutions in groups that are not depthwise: torch-pruning does not say which channels of the groups go."""
    convs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return [n for n, m in model.named_modules() if isinstance(m, convs) and m.groups > 1 and not is_depthwise(m)]
