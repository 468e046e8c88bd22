"""Cut, saved, loaded, exported: the larger networks of the zoo."""

from pathlib import Path
from typing import Any

import pytest

from journeys import assert_comes_back

CIFAR = {"outputs": 3, "data": "cifar"}
ZOO: dict[str, dict[str, Any]] = {
    "vgg16": CIFAR,
    "vgg16_bn": CIFAR,
    "resnet18": CIFAR,
    "resnet50": CIFAR,
    "resnet56": {"outputs": 3, "shortcut": "B"},
    "resnet110": {"outputs": 3},
    "densenet40": {"outputs": 3},
    "mobilenet_v1": CIFAR | {"width": 0.25},
    "mobilenet_v2": CIFAR | {"width": 0.25},
}


@pytest.mark.parametrize("name", ZOO)
def test_a_cut_network_of_the_zoo_is_loaded_to_the_bit_and_exported_for_any_batch(name: str, tmp_path: Path) -> None:
    assert_comes_back(name, ZOO[name], tmp_path)
