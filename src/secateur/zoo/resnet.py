"""`resnet18`, `resnet50`: the residual networks for ImageNet (He et al. 2016), named as in torchvision."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import UnknownNameError
from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

WIDTHS = (64, 128, 256, 512)

FORMS = ("cifar", "imagenet")  # data sets whose images it can be built for


@dataclass(frozen=True)
class Stem:
    """The first convolution, and whether a max-pooling that halves the image follows."""

    kernel: int
    stride: int
    pool: bool


STEMS: Mapping[str, Stem] = {
    "7x7_pool": Stem(7, 2, pool=True),
    "3x3": Stem(3, 1, pool=False),
    "3x3_pool": Stem(3, 1, pool=True),
}
USUAL_STEM = {"imagenet": "7x7_pool", "cifar": "3x3"}


@dataclass(frozen=True)
class Settings:
    """How a residual network is built: so many blocks in each of four stages, of two convolutions or a bottleneck.

    `stem` is by default 7x7_pool for ImageNet and 3x3 for CIFAR; 3x3_pool keeps the max-pooling for small images too.

    Raises:
        SettingsError: a setting is outside its range.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    stem: str | None = None
    data: str = "imagenet"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()
        if self.stem is not None and self.stem not in STEMS:
            raise UnknownNameError("stem", self.stem, STEMS)

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "resnet", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, and a linear layer on the mean over all pixels."""

    def __init__(self, settings: Settings):
        super().__init__()
        images, stem = settings.images(), STEMS[settings.stem or USUAL_STEM[settings.data]]
        self.conv1 = nn.Conv2d(images.channels, 64, stem.kernel, stem.stride, padding=stem.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem.pool else nn.Identity()
        before = (64, *(_after(width, settings) for width in WIDTHS))
        self.layer1, self.layer2, self.layer3, self.layer4 = (_stage(before[n], n, settings) for n in range(4))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before[-1], images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Basic(nn.Module):
    """Two convolutions with norms, and a shortcut past them."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(before, width, stride)
        self.relu2 = nn.ReLU()

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after smaller_h smaller_w"]:
        """The sum of both ways."""
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.downsample(x))


class Bottleneck(nn.Module):
    """A narrow convolution between two of 1×1 with norms, and a shortcut past them; its output is four times as wide.

    As in torchvision, the stride is that of the narrow convolution; in the paper, of the first.
    """

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(before, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after smaller_h smaller_w"]:
        """The sum of both ways."""
        inner = self.relu1(self.bn1(self.conv1(x)))
        inner = self.relu2(self.bn2(self.conv2(inner)))
        return self.relu3(self.bn3(self.conv3(inner)) + self.downsample(x))


def _after(width: int, settings: Settings) -> int:
    return 4 * width if settings.bottleneck else width


def _stage(before: int, number: int, settings: Settings) -> nn.Sequential:
    block = Bottleneck if settings.bottleneck else Basic
    width = WIDTHS[number]
    others = (block(_after(width, settings), width, 1) for _ in range(settings.blocks[number] - 1))
    return nn.Sequential(block(before, width, 1 if number == 0 else 2), *others)


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


MODELS = {
    "resnet18": Entry(Settings, ResNet, {"blocks": (2, 2, 2, 2), "bottleneck": False}, FORMS),
    "resnet50": Entry(Settings, ResNet, {"blocks": (3, 4, 6, 3), "bottleneck": True}, FORMS),
}
