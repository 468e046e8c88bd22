"""Files of images, each with its part and class, as pixels that are all alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from secateur.data.images.address import Reading
from secateur.data.images.decoding import Pixels, Unreadable, Wish, all_decoded
from secateur.data.images.pictures import Pictures, recoloured
from secateur.data.splits import Part
from secateur.errors import DataError

SHOWN = 3


@dataclass(frozen=True)
class Entry:
    """One image: its name for people, its part, the number of its class, and the file itself."""

    name: str
    part: Part
    label: int
    file: Path | BytesIO


def readable(place: Path, entries: Sequence[Entry], how: Reading) -> tuple[list[Entry], list[Pixels], tuple[str, ...]]:
    """The entries that gave images, these, and a note on the others.

    Raises:
        DataError: some cannot be read and `skip` is not given, or none can.
    """
    decoded = all_decoded([entry.file for entry in entries], Wish(how.size, how.channels))
    bad = [(entry, pixels) for entry, pixels in zip(entries, decoded, strict=True) if isinstance(pixels, Unreadable)]
    kept = [entry for entry, pixels in zip(entries, decoded, strict=True) if not isinstance(pixels, Unreadable)]
    images = [pixels for pixels in decoded if not isinstance(pixels, Unreadable)]
    if not bad:
        return kept, images, ()
    names = ", ".join(f"{entry.name} ({found.reason})" for entry, found in bad[:SHOWN])
    found = f"{len(bad)} of {len(entries)} images cannot be read: {names}{', …' if len(bad) > SHOWN else ''}"
    if not how.skip or not images:
        raise DataError(f"{place}: {found}; mend or remove them, or leave them out with ?skip=1.")
    return kept, images, (f"left out: {found}",)


def alike(place: Path, entries: Sequence[Entry], images: Sequence[Pixels]) -> list[Pixels]:
    """The images with equally many channels: grey ones among coloured ones become coloured.

    Raises:
        DataError: they differ in size.
    """
    (usual, count), *others = Counter(image.shape[:2] for image in images).most_common()
    if others:
        odd = next(number for number, image in enumerate(images) if image.shape[:2] != usual)
        height, width = images[odd].shape[:2]
        found = f"{len(images) - count} of {len(images)} images are not {usual[0]}x{usual[1]} pixels as the others"
        remedy = f"?size={min(usual)} makes squares of all"
        raise DataError(f"{place}: {found}, first {entries[odd].name} ({height}x{width}); {remedy}.")
    channels = max(image.shape[2] for image in images)
    return [recoloured(image, channels) for image in images]


def pictures(entries: Sequence[Entry], images: Sequence[Pixels], part: Part) -> Pictures:
    """The images of a part, with their labels."""
    chosen = [(entry.label, image) for entry, image in zip(entries, images, strict=True) if entry.part == part]
    labels, pixels = zip(*chosen, strict=True)
    return Pictures(np.stack(pixels), np.array(labels, dtype=np.int64))
