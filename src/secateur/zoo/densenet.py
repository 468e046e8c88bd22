"""`densenet40`, `densenet`: densely connected networks for CIFAR (Huang et al. 2017), without bottlenecks."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import SettingsError
from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

FORMS = ("cifar",)  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a DenseNet is built: of `depth` layers with parameters, each adding `growth` channels in a dense block.

    Raises:
        SettingsError: a setting is outside its range.
    """

    depth: int = 40
    growth: int = 12
    data: str = "cifar"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()
        if self.depth < 7 or self.depth % 3 != 1:
            near = max(7, 3 * (self.depth // 3) + 1)
            found = f"depth={self.depth}; three equal blocks need 7, 10, 13 and so on"
            raise SettingsError(f"densenet: {found}, such as {near}.")
        if self.growth < 1:
            raise SettingsError(f"densenet: growth={self.growth}; it must be at least 1.")

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "densenet", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class DenseNet(nn.Module):
    """A convolution, three dense blocks with transitions between, and a linear layer on the mean over pixels."""

    def __init__(self, settings: Settings):
        super().__init__()
        images = settings.images()
        layers = (settings.depth - 4) // 3  # all but the first convolution, two transitions and the head
        widths = [16 + n * layers * settings.growth for n in range(4)]
        self.conv1 = nn.Conv2d(images.channels, widths[0], 3, padding=1, bias=False)
        self.block1 = _block(widths[0], layers, settings.growth)
        self.transition1 = _transition(widths[1])
        self.block2 = _block(widths[1], layers, settings.growth)
        self.transition2 = _transition(widths[2])
        self.block3 = _block(widths[2], layers, settings.growth)
        self.bn = nn.BatchNorm2d(widths[3])
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.transition1(self.block1(self.conv1(x)))
        x = self.transition2(self.block2(x))
        x = self.relu(self.bn(self.block3(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


class Layer(nn.Module):
    """Its input with what a convolution makes of it beside."""

    def __init__(self, before: int, growth: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(before, growth, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after height width"]:
        """The old channels, then the new ones."""
        return torch.cat([x, self.conv(self.relu(self.bn(x)))], dim=1)


def _block(before: int, layers: int, growth: int) -> nn.Sequential:
    return nn.Sequential(*(Layer(before + n * growth, growth) for n in range(layers)))


def _transition(width: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        bn=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        conv=nn.Conv2d(width, width, 1, bias=False),
        pool=nn.AvgPool2d(2),
    )
    return nn.Sequential(layers)


MODELS = {
    "densenet": Entry(Settings, DenseNet, forms=FORMS),
    "densenet40": Entry(Settings, DenseNet, {"depth": 40}, FORMS),
}
