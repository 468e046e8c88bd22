"""Images in folders, one folder for each class, as torchvision's ImageFolder reads them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.data.images.address import Reading
from secateur.data.images.decoding import Pixels, Unreadable, Wish, all_decoded
from secateur.data.images.pictures import Found, Pictures, recoloured
from secateur.data.splits import Part
from secateur.errors import DataError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS: Mapping[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
SHOWN = 3


@dataclass(frozen=True)
class Entry:
    """One file: its part and the number of its class."""

    path: Path
    part: Part
    label: int


def read(folder: Path, how: Reading) -> Found:
    """The images in `folder/CLASS/`, or in `folder/train/CLASS/` with `validation/` and `test/` beside `train/`.

    Raises:
        DataError: there are no images, some cannot be read and `skip` is not given, or they differ in size.
    """
    homes = _homes(folder)
    names = _class_names(homes["train"])
    entries = [entry for part, home in homes.items() for entry in _entries(home, part, names)]
    decoded = all_decoded([entry.path for entry in entries], Wish(how.size, how.channels))
    kept, images, notes = _readable(folder, entries, decoded, skip=how.skip)
    _check_classes(folder, kept, names)
    images = _alike(folder, kept, images)
    return Found({part: _pictures(kept, images, part) for part in homes}, names, notes)


def _homes(folder: Path) -> dict[Part, Path]:
    """Where the folders of classes are, for each part."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; check the path (the current folder is {Path.cwd()}).")
    if not (folder / "train").is_dir():
        return {"train": folder}
    found = {part: [folder / name for name in names if (folder / name).is_dir()] for part, names in PARTS.items()}
    return {part: homes[0] for part, homes in found.items() if homes}


def _class_names(home: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if len(names) < 2:
        found = f"{len(names)} folder{'' if len(names) == 1 else 's'} in it"
        raise DataError(f"{home}: {found}; make a folder for each class, two at least, with its images in it.")
    return names


def _entries(home: Path, part: Part, names: tuple[str, ...]) -> list[Entry]:
    strangers = sorted(path.name for path in home.iterdir() if path.is_dir() and path.name not in names)
    if strangers:
        found = f"class {strangers[0]!r} is not among the {len(names)} of training"
        raise DataError(f"{home}: {found} ({', '.join(names[:SHOWN])}, …); move it, or give it training images.")
    found_files = [
        Entry(path, part, label)
        for label, name in enumerate(names)
        for path in sorted((home / name).rglob("*"))
        if path.suffix.lower() in ENDINGS and path.is_file()
    ]
    if not found_files:
        raise DataError(f"{home}: there is no image in its class folders; images end in {', '.join(ENDINGS)}.")
    return found_files


def _readable(
    folder: Path, entries: list[Entry], decoded: Sequence[Pixels | Unreadable], *, skip: bool
) -> tuple[list[Entry], list[Pixels], tuple[str, ...]]:
    """The entries that gave images, these, and a note on the others."""
    bad = [(entry, pixels) for entry, pixels in zip(entries, decoded, strict=True) if isinstance(pixels, Unreadable)]
    kept = [entry for entry, pixels in zip(entries, decoded, strict=True) if not isinstance(pixels, Unreadable)]
    images = [pixels for pixels in decoded if not isinstance(pixels, Unreadable)]
    if not bad:
        return kept, images, ()
    names = ", ".join(f"{entry.path.relative_to(folder)} ({found.reason})" for entry, found in bad[:SHOWN])
    found = f"{len(bad)} of {len(entries)} images cannot be read: {names}{', …' if len(bad) > SHOWN else ''}"
    if not skip or not images:
        raise DataError(f"{folder}: {found}; mend or remove them, or leave them out with ?skip=1.")
    return kept, images, (f"left out: {found}",)


def _check_classes(folder: Path, entries: list[Entry], names: tuple[str, ...]) -> None:
    filled = {entry.label for entry in entries if entry.part == "train"}
    empty = [name for label, name in enumerate(names) if label not in filled]
    if empty:
        found = f"{len(empty)} of {len(names)} classes have no image, first {empty[0]!r}"
        raise DataError(f"{folder}: {found}; give them images, or remove their folders.")


def _alike(folder: Path, entries: list[Entry], images: list[Pixels]) -> list[Pixels]:
    """The images with equally many channels: grey ones among coloured ones become coloured."""
    (usual, count), *others = Counter(image.shape[:2] for image in images).most_common()
    if others:
        odd = next(number for number, image in enumerate(images) if image.shape[:2] != usual)
        name, (height, width) = entries[odd].path.relative_to(folder), images[odd].shape[:2]
        found = f"{len(images) - count} of {len(images)} images are not {usual[0]}x{usual[1]} pixels as the others"
        remedy = f"?size={min(usual)} makes squares of all"
        raise DataError(f"{folder}: {found}, first {name} ({height}x{width}); {remedy}.")
    channels = max(image.shape[2] for image in images)
    return [recoloured(image, channels) for image in images]


def _pictures(entries: list[Entry], images: list[Pixels], part: Part) -> Pictures:
    chosen = [(entry.label, image) for entry, image in zip(entries, images, strict=True) if entry.part == part]
    labels, pixels = zip(*chosen, strict=True)
    return Pictures(np.stack(pixels), np.array(labels, dtype=np.int64))
