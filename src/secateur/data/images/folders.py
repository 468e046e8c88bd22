"""Images in folders, one folder for each class, as torchvision's ImageFolder reads them."""

from collections.abc import Mapping
from pathlib import Path

from secateur.data.images.address import Reading
from secateur.data.images.entries import SHOWN, Entry, alike, pictures, readable
from secateur.data.images.pictures import Found
from secateur.data.splits import Part
from secateur.errors import DataError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS: Mapping[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}


def read(folder: Path, how: Reading) -> Found:
    """The images in `folder/CLASS/`, or in `folder/train/CLASS/` with `validation/` and `test/` beside `train/`.

    Raises:
        DataError: there are no images, some cannot be read and `skip` is not given, or they differ in size.
    """
    homes = _homes(folder)
    names = _class_names(homes["train"])
    entries = [entry for part, home in homes.items() for entry in _entries(folder, home, part, names)]
    kept, images, notes = readable(folder, entries, how)
    _check_classes(folder, kept, names)
    images = alike(folder, kept, images)
    return Found({part: pictures(kept, images, part) for part in homes}, names, notes)


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


def _entries(folder: Path, home: Path, part: Part, names: tuple[str, ...]) -> list[Entry]:
    strangers = sorted(path.name for path in home.iterdir() if path.is_dir() and path.name not in names)
    if strangers:
        found = f"class {strangers[0]!r} is not among the {len(names)} of training"
        raise DataError(f"{home}: {found} ({', '.join(names[:SHOWN])}, …); move it, or give it training images.")
    found_files = [
        Entry(str(path.relative_to(folder)), part, label, path)
        for label, name in enumerate(names)
        for path in sorted((home / name).rglob("*"))
        if path.suffix.lower() in ENDINGS and path.is_file()
    ]
    if not found_files:
        raise DataError(f"{home}: there is no image in its class folders; images end in {', '.join(ENDINGS)}.")
    return found_files


def _check_classes(folder: Path, entries: list[Entry], names: tuple[str, ...]) -> None:
    filled = {entry.label for entry in entries if entry.part == "train"}
    empty = [name for label, name in enumerate(names) if label not in filled]
    if empty:
        found = f"{len(empty)} of {len(names)} classes have no image, first {empty[0]!r}"
        raise DataError(f"{folder}: {found}; give them images, or remove their folders.")
