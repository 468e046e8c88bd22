"""Addresses of images, such as `cifar10:DIR?validation=5000&augment=crop,flip`, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from secateur.data import choosing, query
from secateur.data.choosing import Division
from secateur.data.images.augmentation import Augmentation
from secateur.data.images.normal import KNOWN, Normal, read
from secateur.errors import SettingsError, UnknownNameError

Source = Literal["cifar10", "cifar100", "fashion_mnist", "images"]
USUAL: Mapping[Source, str] = {  # normalisation
    "cifar10": "imagenet",  # as most networks for CIFAR-10 were trained, akamaster's among them
    "cifar100": "cifar100",
    "fashion_mnist": "fashion",
    "images": "imagenet",
}
FORMS: Mapping[str, str] = {source: f"{source}:DIR" for source in USUAL}
MOVES = ("crop", "flip")
OPTIONS = (
    "validation", "test", "scoring", "limit", "seed", "batch_size", "normalise", "augment", "mixup", "cutmix",
    "channels_last", "size", "channels", "skip",
)  # fmt: skip
FOLDER_OPTIONS = ("size", "skip")


@dataclass(frozen=True)
class Reading:
    """How files become pixels: resized to `size`, with so many channels, unreadable ones left out with `skip`."""

    size: int | None = None
    channels: int | None = None
    skip: bool = False


@dataclass(frozen=True)
class ImageSet:
    """Images in a folder, and what is to be made of them. `seed` and `batch_size` None are as the caller says."""

    source: Source
    folder: Path
    division: Division = field(default_factory=Division)
    reading: Reading = Reading()
    normal: Normal = KNOWN["imagenet"]
    augmentation: Augmentation = field(default_factory=Augmentation)
    channels_last: bool = True
    seed: int | None = None
    batch_size: int | None = None


def parse(source: Source, rest: str) -> ImageSet:
    """What is behind `cifar10:`, `cifar100:`, `fashion_mnist:` or `images:`, a folder and options.

    Raises:
        UnknownNameError: there is no such option.
        SettingsError: an option has a value it cannot have, or the folder is not given.
    """
    folder, _, text = rest.partition("?")
    if not folder:
        raise SettingsError(f"{source}:?{text}: the folder is not given; write {FORMS[source]}.")
    known = OPTIONS if source == "images" else tuple(key for key in OPTIONS if key not in FOLDER_OPTIONS)
    written = query.options(source, text, known)
    return ImageSet(
        source=source,
        folder=Path(folder).expanduser(),
        division=choosing.division_of(source, written, "image"),
        reading=_reading(source, written),
        normal=read(written.get("normalise", USUAL[source]), source),
        augmentation=_augmentation(source, written),
        channels_last=query.switch(source, written, "channels_last", default=True),
        seed=query.whole(source, written, "seed", 0),
        batch_size=query.whole(source, written, "batch_size", 1),
    )


def _reading(source: Source, written: Mapping[str, str]) -> Reading:
    channels = written.get("channels")
    if channels not in (None, "1", "3"):
        raise SettingsError(f"{source}: channels={channels!r}; it must be 1 (grey) or 3 (red, green, blue).")
    return Reading(
        size=query.whole(source, written, "size", 1),
        channels=None if channels is None else int(channels),
        skip=query.switch(source, written, "skip", default=False),
    )


def _augmentation(source: Source, written: Mapping[str, str]) -> Augmentation:
    moves = written.get("augment", ",".join(MOVES)).split(",")
    for move in moves:
        if move not in (*MOVES, "none"):
            raise UnknownNameError(f"value of {source}: augment", move, (*MOVES, "none"))
    return Augmentation(
        crop="crop" in moves,
        flip="flip" in moves,
        mixup=query.amount(source, written, "mixup") or 0.0,
        cutmix=query.amount(source, written, "cutmix") or 0.0,
    )
