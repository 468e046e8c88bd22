"""Model addresses of torchvision and timm: what is built, with which inputs, and without the library."""

# ruff: noqa: ARG001, ARG005  # stand-ins have the signatures of what they stand for

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hub_models import states_equal
from secateur import sources
from secateur.errors import ModelError, SettingsError, UnknownNameError


class Weights:
    def transforms(self) -> Any:
        return SimpleNamespace(crop_size=[384])


def fake_torchvision() -> ModuleType:
    module = ModuleType("torchvision.models")

    def get_model(name: str, *, weights: str | None, num_classes: int = 3) -> nn.Module:
        assert weights in (None, "DEFAULT")
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    vars(module).update(
        get_model=get_model,
        list_models=lambda: ["resnet18", "inception_v3"],
        get_model_weights=lambda name: {"DEFAULT": Weights()},
    )
    return module


def test_torchvision_models_are_random_unless_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", fake_torchvision())
    address = "torchvision:resnet18?num_classes=7"
    first, again, other = (sources.build(address, seed, {}) for seed in (1, 1, 2))
    assert first[3].out_features == 7
    assert states_equal(first, again) and not states_equal(first, other)
    sizes = {"resnet18": 224, "inception_v3": 299, "resnet18?weights=DEFAULT": 384, "resnet18?image_size=64": 64}
    for tail, size in sizes.items():
        inputs = sources.example(f"torchvision:{tail}", first)
        assert isinstance(inputs, torch.Tensor) and inputs.shape == (2, 3, size, size)
    assert sources.comes_trained("torchvision:resnet18?weights=DEFAULT")
    assert not sources.comes_trained("torchvision:resnet18")
    with pytest.raises(UnknownNameError, match="'resnet81' is not a known model of torchvision; did you mean resnet18"):
        sources.build("torchvision:resnet81", 0, {})
    with pytest.raises(SettingsError, match=r"torchvision:resnet18: .*unexpected keyword argument 'classes'"):
        sources.build("torchvision:resnet18?classes=7", 0, {})


def test_timm_models_take_what_their_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    timm, timm_data = ModuleType("timm"), ModuleType("timm.data")
    vars(timm).update(
        is_model=lambda name: name == "tiny",
        list_models=lambda: ["tiny"],
        create_model=lambda name, pretrained=False, in_chans=3: nn.Conv2d(in_chans, 4, 3),
    )
    vars(timm_data).update(resolve_model_data_config=lambda model: {"input_size": (3, 240, 256)})
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", timm_data)

    model = sources.build("timm:tiny?in_chans=1", 0, {})
    assert model.in_channels == 1
    shapes = {"tiny": (2, 3, 240, 256), "tiny?in_chans=1": (2, 1, 240, 256), "tiny?img_size=64": (2, 3, 64, 64)}
    for tail, shape in shapes.items():
        inputs = sources.example(f"timm:{tail}", model)
        assert isinstance(inputs, torch.Tensor) and inputs.shape == shape
    assert sources.comes_trained("timm:tiny?pretrained=true") and not sources.comes_trained("timm:tiny")
    with pytest.raises(UnknownNameError, match="'tony' is not a known model of timm; did you mean tiny"):
        sources.build("timm:tony", 0, {})


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModelError, match=rf"{library}: cannot be imported: .*pip install 'secateur\[vision\]'"):
        sources.build(f"{library}:resnet18", 0, {})
