"""The images that networks are built for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from secateur.errors import SettingsError, UnknownNameError


@dataclass(frozen=True)
class Images:
    """Square images: pixels along a side, channels, and the classes to tell apart."""

    size: int
    channels: int
    outputs: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return (self.channels, self.size, self.size)


@runtime_checkable
class ForImages(Protocol):
    """The options that all networks for images have; None is as in the data set."""

    @property
    def data(self) -> str:
        """The data set whose images the network is made for."""

    @property
    def outputs(self) -> int | None:
        """Classes."""

    @property
    def channels(self) -> int | None:
        """Colours of the input."""


DATA: Mapping[str, Images] = {
    "cifar": Images(32, 3, 10),
    "imagenet": Images(224, 3, 1000),
    "mnist": Images(28, 1, 10),
}


def images_for(settings: ForImages, place: str, known: tuple[str, ...]) -> Images:
    """The images of a data set, with the channels and outputs of the settings where they say them.

    Raises:
        UnknownNameError: the network has no form for that data set.
        SettingsError: channels or outputs are below 1.
    """
    if settings.data not in known:
        raise UnknownNameError(f"data set for {place}", settings.data, known)
    for name, width in (("channels", settings.channels), ("outputs", settings.outputs)):
        if width is not None and width < 1:
            raise SettingsError(f"{place}: {name}={width}; it must be at least 1.")
    usual = DATA[settings.data]
    return Images(usual.size, settings.channels or usual.channels, settings.outputs or usual.outputs)
