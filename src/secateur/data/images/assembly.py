"""From an address of images to data that is ready to train on."""

from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from secateur.data.choosing import Chosen, Draw, divide
from secateur.data.dataset import Data
from secateur.data.images import folders, formats, listed
from secateur.data.images.address import ImageSet
from secateur.data.images.loader import ImageBatches
from secateur.data.images.pictures import Found, Pictures, coloured
from secateur.errors import DataError
from secateur.task import Split, Task

USUAL_BATCH = 256


def load(images: ImageSet) -> Data:
    """The data of a set of images.

    Raises:
        DataError: files are missing or damaged, or do not fit each other.
        SettingsError: more images are asked for than there are.
    """
    place = f"{images.source}:{images.folder}"
    found = _read(images, place)
    labels = {part: pictures.labels for part, pictures in found.parts.items()}
    chosen = divide(labels, images.division, Draw(images.seed or 0, place, every_class=not found.classes_listed))
    pools = {part: _tensors(pictures) for part, pictures in found.parts.items()}
    loaders = {part: _loader(images, pools[one.pool], one, len(found.class_names)) for part, one in chosen.items()}
    height, width, channels = found.parts["train"].pixels.shape[1:]
    return Data(
        task=Task.classification(
            train=replace(loaders["train"], augmentation=images.augmentation),
            calibration=loaders["calibration"],
            validation=loaders.get("validation"),
            test=loaders.get("test"),
        ),
        name=images.folder.resolve().name,
        kind="classification",
        features=None,
        outputs=len(found.class_names),
        class_names=found.class_names,
        rows={part: len(chosen[part].rows) for part in get_args(Split) if part in chosen},
        notes=found.notes,
        image_shape=(channels, height, width),
    )


def _read(images: ImageSet, place: str) -> Found:
    """The set as its files have it, in as many channels as wanted."""
    if images.source == "images":
        how = listed if listed.is_there(images.folder) else folders
        return how.read(images.folder, images.reading)
    found = formats.read(images.source, images.folder)
    parts = {part: coloured(pictures, images.reading.channels) for part, pictures in found.parts.items()}
    shapes = {part: pictures.pixels.shape[1:] for part, pictures in parts.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{part} {'x'.join(map(str, shape))}" for part, shape in shapes.items())
        raise DataError(f"{place}: its parts have images of different sizes ({sizes}); get the files again.")
    return replace(found, parts=parts)


def _tensors(pictures: Pictures) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(pictures.pixels), torch.from_numpy(pictures.labels)


def _loader(images: ImageSet, pool: tuple[Tensor, Tensor], chosen: Chosen, classes: int) -> ImageBatches:
    pixels, labels = pool
    return ImageBatches(
        pixels=pixels,
        labels=labels,
        rows=torch.from_numpy(chosen.rows),
        classes=classes,
        normal=images.normal.of(pixels.shape[-1]),
        batch_size=images.batch_size or USUAL_BATCH,
        channels_last=images.channels_last,
    )
