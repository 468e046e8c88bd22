"""`vgg16`, `vgg16_bn`: VGG-16 without and with batch norm (Simonyan and Zisserman 2015), named as in torchvision."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # each ends in a pooling

FORMS = ("cifar", "imagenet")  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a VGG is built: with three linear layers for ImageNet, with one for CIFAR.

    Raises:
        SettingsError: a setting is outside its range.
    """

    norm: bool
    data: str = "imagenet"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "vgg", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class VGG(nn.Module):
    """Thirteen convolutions in five stages, then linear layers."""

    def __init__(self, settings: Settings):
        super().__init__()
        images = settings.images()
        self.features = _features(images.channels, settings.norm)
        side = {"cifar": 1, "imagenet": 7}[settings.data]
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        after = STAGES[-1][-1] * side**2
        deep = settings.data == "imagenet"
        self.classifier = _three_linear(after, images.outputs) if deep else nn.Linear(after, images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def _features(channels: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = channels
    for stage in STAGES:
        for after in stage:
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers.append(nn.ReLU())
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _three_linear(before: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(before, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, outputs),
    )


MODELS = {
    "vgg16": Entry(Settings, VGG, {"norm": False}, FORMS),
    "vgg16_bn": Entry(Settings, VGG, {"norm": True}, FORMS),
}
