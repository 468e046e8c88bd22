"""`mobilenet_v1`: depthwise separable convolutions (Howard et al. 2017).

Parameters are named as in github.com/biubug6/Pytorch_Retinaface, whose weights at a quarter of the width load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

STAGES = (  # channels and stride of every pair of convolutions
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)
FIRST = 32
FIRST_STRIDE = {"cifar": 1, "imagenet": 2}
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "leaky_relu": partial(nn.LeakyReLU, 0.1),
    "relu": nn.ReLU,
}

FORMS = ("cifar", "imagenet")  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a MobileNet is built; `width` multiplies all channels, of which at least 8 stay.

    Raises:
        SettingsError: a setting is outside its range.
    """

    width: float = 1.0
    activation: str = "relu"
    data: str = "cifar"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()
        if not 0 < self.width < inf:
            raise SettingsError(f"mobilenet_v1: width={self.width}; it must be above 0.")
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "mobilenet_v1", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape

    def scaled(self, channels: int) -> int:
        """A number of channels under the width multiplier."""
        return max(8, int(channels * self.width))


class MobileNet(nn.Module):
    """A convolution, thirteen pairs of a depthwise and a 1×1 convolution, and a linear layer on the mean."""

    def __init__(self, settings: Settings):
        super().__init__()
        images, first = settings.images(), settings.scaled(FIRST)
        widths = [first, *(settings.scaled(stage[-1][0]) for stage in STAGES)]
        stem = _convolution(images.channels, first, FIRST_STRIDE[settings.data], settings)
        self.stage1 = nn.Sequential(stem, *_pairs(widths[0], 0, settings))
        self.stage2 = nn.Sequential(*_pairs(widths[1], 1, settings))
        self.stage3 = nn.Sequential(*_pairs(widths[2], 2, settings))
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(torch.flatten(self.avg(x), 1))


def _convolution(before: int, after: int, stride: int, settings: Settings) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        ACTIVATIONS[settings.activation](),
    )


def _pairs(before: int, stage: int, settings: Settings) -> list[nn.Sequential]:
    widths = [before, *(settings.scaled(channels) for channels, _ in STAGES[stage])]
    strides = [stride for _, stride in STAGES[stage]]
    return [_pair(*ends, stride, settings) for ends, stride in zip(pairwise(widths), strides, strict=True)]


def _pair(before: int, after: int, stride: int, settings: Settings) -> nn.Sequential:
    activation = ACTIVATIONS[settings.activation]
    return nn.Sequential(
        nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False),
        nn.BatchNorm2d(before),
        activation(),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        activation(),
    )


MODELS = {"mobilenet_v1": Entry(Settings, MobileNet, forms=FORMS)}
