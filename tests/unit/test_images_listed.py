"""Images that a table names come in with their classes, out of a folder or out of archives."""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from image_files import as_png, drawn
from secateur import data
from secateur.data import Data
from secateur.errors import DataError, SettingsError

ROWS = 24
LABELS = [2 * (number % 12) for number in range(ROWS)]  # every other class has no image
PLAIN = "validation=0&test=0&normalise=none"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Half of the images as files, half in an archive, and their table."""
    pixels, _ = drawn(ROWS, 1, side=8).train
    with ZipFile(tmp_path / "half.zip", "w") as pack:
        for number, image in enumerate(pixels):
            if number % 2:
                pack.writestr(f"{number}.png", as_png(image))
            else:
                (tmp_path / f"{number}.png").write_bytes(as_png(image))
    write_table(tmp_path, "label,wnid,name,file", [f"{label},n1,c{label},{n}.png" for n, label in enumerate(LABELS)])
    return tmp_path


def write_table(folder: Path, head: str, lines: list[str]) -> None:
    (folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")


def labels_of(loaded: Data, split: str) -> list[int]:
    return [int(label) for _, labels in loaded.task.batches(split) for label in labels]


def test_the_images_of_a_table_come_in_its_order_with_its_classes(folder: Path) -> None:
    loaded = data.load(f"images:{folder}?{PLAIN}")
    wanted, _ = drawn(ROWS, 1, side=8).train
    ((images, labels),) = loaded.task.batches("calibration")
    assert_array_equal((images * 255).round().permute(0, 2, 3, 1).numpy(), wanted)
    assert labels.tolist() == LABELS
    assert loaded.outputs == 23
    assert loaded.class_names[20:] == ("c20", "21", "c22")


def test_words_for_classes_are_numbered_in_their_order(folder: Path) -> None:
    words = ["dog", "cat", "eel"] * 8
    write_table(folder, "filename,class", [f"{number}.png,{word}" for number, word in enumerate(words)])
    loaded = data.load(f"images:{folder}?{PLAIN}")
    assert loaded.class_names == ("cat", "dog", "eel")
    assert labels_of(loaded, "calibration") == [1, 0, 2] * 8


def test_classes_of_a_single_image_are_parted_and_the_seed_says_which(folder: Path) -> None:
    write_table(folder, "label,file", [f"{number},{number}.png" for number in range(ROWS)])
    drawings = set()
    for seed in range(3):
        loaded = data.load(f"images:{folder}?validation=0&test=12", seed=seed)
        train, test = (labels_of(loaded, split) for split in ("calibration", "test"))
        assert (len(train), len(test)) == (12, 12)
        assert sorted(train + test) == list(range(ROWS))
        drawings.add(tuple(test))
    assert len(drawings) == 3


def test_every_class_gives_its_share(folder: Path) -> None:
    write_table(folder, "label,file", [f"{number % 3},{number}.png" for number in range(ROWS)])
    for seed in range(3):
        loaded = data.load(f"images:{folder}?validation=6&test=9", seed=seed)
        parts = {part: np.bincount(labels_of(loaded, part)).tolist() for part in ("calibration", "validation", "test")}
        assert parts == {"calibration": [3, 3, 3], "validation": [2, 2, 2], "test": [3, 3, 3]}


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def with_table(*lines: str) -> Callable[[Path], object]:
    return lambda folder: write_table(folder, lines[0], list(lines[1:]))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (without("half.zip"), "12 of 24 images of labels.csv are missing: 1.png, 3.png, 5.png, …; put them, or a zip"),
        (lambda folder: (folder / "half.zip").write_bytes(b"PK"), "half.zip: cannot be unpacked"),
        (lambda folder: (folder / "4.png").write_bytes(b"no"), r"1 of 24 images cannot be read: 4.png \(no image\)"),
        (with_table("label,picture", "0,0.png"), "the columns label, picture; one must be file or filename"),
        (with_table("file,kind", "0.png,1"), "the columns file, kind; one must be label or class_index"),
        (with_table("file,label", "0.png,0", "2.png"), "line 3 has more or fewer columns"),
        (with_table("file,label", "0.png,0,1"), "line 2 has more or fewer columns"),
        (with_table("file,label"), "has no rows"),
        (with_table("file,label", "0.png,cat", "2.png,cat"), "all of its 2 images are of one class"),
        (lambda folder: (folder / "labels.csv").write_bytes(b"\xff\xfe\x00"), "cannot be read as a table"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, harm: Callable[[Path], object], words: str) -> None:
    harm(folder)
    with pytest.raises(DataError, match=words) as caught:
        data.load(f"images:{folder}")
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_images_that_cannot_be_read_are_left_out_only_when_asked(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"no")
    loaded = data.load(f"images:{folder}?skip=1&{PLAIN}")
    assert loaded.rows["train"] == ROWS - 1
    assert "1 of 24" in loaded.notes[0]


def test_one_image_at_least_stays_in_training(folder: Path) -> None:
    with pytest.raises(SettingsError, match="test=24 asks for 24 images, but 23 of 24 can be given"):
        data.load(f"images:{folder}?validation=0&test=24")
    assert data.load(f"images:{folder}?validation=0&test=22").rows["train"] == 2
