"""`resnet20` to `resnet110`: the residual networks for CIFAR (He et al. 2016, §4.2).

Parameters are named as in github.com/akamaster/pytorch_resnet_cifar10, whose weights load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.errors import UnknownNameError
from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

FORMS = ("cifar",)  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a residual network is built, of three stages of `blocks` blocks.

    Where width and size change, `shortcut` "A" takes every other pixel and adds channels of zeros, "B" is a 1×1
    convolution with a norm.

    Raises:
        SettingsError: a setting is outside its range.
    """

    blocks: int
    shortcut: str = "A"
    data: str = "cifar"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()
        if self.shortcut not in SHORTCUTS:
            raise UnknownNameError("shortcut", self.shortcut, SHORTCUTS)

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, f"resnet{6 * self.blocks + 2}", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks, and a linear layer on the mean over all pixels."""

    def __init__(self, settings: Settings):
        super().__init__()
        images = settings.images()
        self.conv1 = nn.Conv2d(images.channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, settings)
        self.layer2 = _stage(16, 32, settings)
        self.layer3 = _stage(32, 64, settings)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(self.pool(x), 1))


class Block(nn.Module):
    """Two convolutions with norms, and a shortcut past them."""

    def __init__(self, before: int, after: int, shortcut: nn.Module):
        super().__init__()
        stride = 1 if before == after else 2
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = shortcut
        self.relu2 = nn.ReLU()

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after smaller_h smaller_w"]:
        """The sum of both ways."""
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.shortcut(x))


class Padding(nn.Module):
    """Every other pixel, with channels of zeros before and after: a shortcut without parameters."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.zeros = (after - before) // 2

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after smaller_h smaller_w"]:
        """The shortcut's output."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.zeros, self.zeros))


def _projection(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 1, stride=2, bias=False), nn.BatchNorm2d(after))


def _stage(before: int, after: int, settings: Settings) -> nn.Sequential:
    first = nn.Identity() if before == after else SHORTCUTS[settings.shortcut](before, after)
    others = (Block(after, after, nn.Identity()) for _ in range(settings.blocks - 1))
    return nn.Sequential(Block(before, after, first), *others)


SHORTCUTS: Mapping[str, Callable[[int, int], nn.Module]] = {"A": Padding, "B": _projection}
MODELS = {f"resnet{6 * blocks + 2}": Entry(Settings, ResNet, {"blocks": blocks}, FORMS) for blocks in (3, 5, 7, 9, 18)}
