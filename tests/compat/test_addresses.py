"""Addresses of torchvision and timm with the real libraries: what is built takes its own example input."""

import pytest
import torch

from secateur import sources
from secateur.errors import SettingsError, UnknownNameError

ADDRESSES = {
    "torchvision:resnet18": (2, 3, 224, 224),
    "torchvision:inception_v3": (2, 3, 299, 299),
    "torchvision:vit_b_16?image_size=64": (2, 3, 64, 64),
    "torchvision:mobilenet_v3_small?num_classes=5": (2, 3, 224, 224),
    "timm:resnet18": (2, 3, 224, 224),
    "timm:swin_tiny_patch4_window7_224?num_classes=5": (2, 3, 224, 224),
    "timm:vit_tiny_patch16_224?img_size=64": (2, 3, 64, 64),
    "timm:mobilenetv3_small_050?in_chans=1": (2, 1, 224, 224),
}


@pytest.mark.parametrize(("address", "shape"), ADDRESSES.items())
def test_a_model_takes_the_example_of_its_address(address: str, shape: tuple[int, ...]) -> None:
    model = sources.build(address, 0, {})
    inputs = sources.example(address, model)
    assert isinstance(inputs, torch.Tensor) and inputs.shape == shape
    with torch.no_grad():
        assert len(model(inputs)) == 2
    assert not sources.comes_trained(address)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_unknown_names_and_options_are_refused(library: str) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*resnet18"):
        sources.build(f"{library}:resnet_18", 0, {})
    with pytest.raises(SettingsError, match="unexpected keyword argument"):
        sources.build(f"{library}:resnet18?no_such_option=1", 0, {})
