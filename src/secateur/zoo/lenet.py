"""`lenet`: LeNet-5 (LeCun et al. 1998), with ReLU and max-pooling as it is used today."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.zoo.entry import Entry
from secateur.zoo.images import Images, images_for
from secateur.zoo.initial import initialise_

FORMS = ("cifar", "mnist")  # data sets whose images it can be built for


@dataclass(frozen=True)
class Settings:
    """How a LeNet is built. MNIST's 28 pixels are padded to the 32 that it was made for.

    Raises:
        SettingsError: a setting is outside its range.
    """

    data: str = "cifar"
    outputs: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self.images()

    def images(self) -> Images:
        """The images it is built for."""
        return images_for(self, "lenet", FORMS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.images().shape


class LeNet(nn.Module):
    """Two convolutions with pooling, then three linear layers."""

    def __init__(self, settings: Settings):
        super().__init__()
        images = settings.images()
        self.conv1 = nn.Conv2d(images.channels, 6, 5, padding=(32 - images.size) // 2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, images.outputs)
        initialise_(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Class scores."""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.relu3(self.fc1(x))
        x = self.relu4(self.fc2(x))
        return self.fc3(x)


MODELS = {"lenet": Entry(Settings, LeNet, forms=FORMS)}
