"""`mobilenet_v2`: inverted residuals with linear bottlenecks (Sandler et al. 2018), named as in torchvision."""

from collections import OrderedDict
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

STAGES = (  # expansion, channels, blocks
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
)
FIRST, LAST = 32, 1280
FIRST_STRIDE = {"cifar": 1, "imagenet": 2}
STRIDES = {"cifar": (1, 1, 2, 2, 1, 2, 1), "imagenet": (1, 2, 2, 2, 1, 2, 1)}  # of the first block of every stage
PADDINGS = ("both", "end")

FORMS = ("cifar", "imagenet")  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a MobileNet V2 is built; `width` multiplies all channels, rounded to eights. For CIFAR two strides are 1.

    Without `norm` every convolution has a bias, into which its norm was folded. With `padding` "end" the convolutions
    of stride 2 pad on the right and at the bottom only, as TensorFlow's do.

    Raises:
        SettingsError: a setting is outside its range.
    """

    width: float = 1.0
    norm: bool = True
    padding: str = "both"
    data: str = "imagenet"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()
        if not 0 < self.width < inf:
            raise SettingsError(f"mobilenet_v2: width={self.width}; it must be above 0.")
        if self.padding not in PADDINGS:
            raise UnknownNameError("padding", self.padding, PADDINGS)

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "mobilenet_v2", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class MobileNetV2(nn.Module):
    """A convolution, seventeen inverted residuals, a 1×1 convolution, and a linear layer on the mean."""

    def __init__(self, settings: Settings):
        super().__init__()
        images = settings.images()
        last = _in_eights(LAST * max(1.0, settings.width))
        self.features = _features(images.channels, last, settings)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, images.outputs))
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.pool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two of 1×1, the last without activation; added to its input if alike."""

    def __init__(self, before: int, after: int, stride: int, expansion: int, settings: Settings = Settings()):
        super().__init__()
        inner = before * expansion
        widening = [_pointwise(before, inner, settings)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widening,
            _spatial(inner, inner, stride, settings, groups=inner),
            nn.Conv2d(inner, after, 1, bias=not settings.norm),
            _norm(after, settings),
        )
        self.skip = stride == 1 and before == after

    def forward(
        self, x: Float[Tensor, "batch before height width"]
    ) -> Float[Tensor, "batch after smaller_h smaller_w"]:
        """The bottleneck's output, with the input added where it may be."""
        return x + self.conv(x) if self.skip else self.conv(x)


def _features(channels: int, last: int, settings: Settings) -> nn.Sequential:
    before = _in_eights(FIRST * settings.width)
    layers: list[nn.Module] = [_spatial(channels, before, FIRST_STRIDE[settings.data], settings)]
    for (expansion, width, blocks), stride in zip(STAGES, STRIDES[settings.data], strict=True):
        after = _in_eights(width * settings.width)
        for number in range(blocks):
            layers.append(InvertedResidual(before, after, 1 if number else stride, expansion, settings))
            before = after
    return nn.Sequential(*layers, _pointwise(before, last, settings))


def _pointwise(before: int, after: int, settings: Settings) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=not settings.norm), _norm(after, settings), nn.ReLU6())


def _spatial(before: int, after: int, stride: int, settings: Settings, *, groups: int = 1) -> nn.Sequential:
    """A 3×3 convolution with what follows it; parameters keep their names where a padding of its own comes first."""
    at_end = settings.padding == "end" and stride > 1
    padding = 0 if at_end else 1
    convolution = nn.Conv2d(before, after, 3, stride, padding, groups=groups, bias=not settings.norm)
    layers = {"0": convolution, "1": _norm(after, settings), "2": nn.ReLU6()}
    return nn.Sequential(OrderedDict({"pad": nn.ZeroPad2d((0, 1, 0, 1)), **layers} if at_end else layers))


def _norm(channels: int, settings: Settings) -> nn.Module:
    return nn.BatchNorm2d(channels) if settings.norm else nn.Identity()


def _in_eights(width: float) -> int:
    """The nearest multiple of 8 that is at least 8 and at least nine tenths of the width."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


MODELS = {"mobilenet_v2": Entry(Settings, MobileNetV2, forms=FORMS)}
