"""Activations of real networks: as many as the papers of depth count, shared modules told apart."""

import pytest
import torch

from compat.catalogue import entries
from secateur.activations import find_activations

PUBLISHED = {
    "zoo:resnet18": 17,
    "zoo:vgg16_bn": 15,
    "zoo:mobilenet_v2": 35,
    "torchvision:resnet18": 17,
    "torchvision:vgg16_bn": 15,
    "torchvision:mobilenet_v2": 35,
    "torchvision:swin_t": 12,
    "transformers:bert": 12,
    "transformers:roberta": 12,
    "transformers:swin": 12,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_activations_as_published(name: str) -> None:
    torch.manual_seed(0)
    entry = entries()[name]
    sites = find_activations(entry.build().eval(), entry.example())
    assert len(sites.activations) == PUBLISHED[name]
    assert sites.pinned == ()
