"""What is wrong with a set of images is said in one line: the place, the numbers, the remedy."""

import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import image_files
from image_files import drawn
from secateur import data
from secateur.errors import CompressionError, DataError, SettingsError, UnknownNameError

SHEETS, BINARY, PICKLES = image_files.write_sheets, image_files.write_binary, image_files.write_pickles
BATCH = "cifar-10-batches-py/data_batch_2"
RECORDS = "cifar-10-batches-bin/data_batch_2.bin"


def refusal(address: str) -> CompressionError:
    with pytest.raises(CompressionError) as caught:
        data.load(address)
    return caught.value


def assert_says(error: CompressionError, kind: type[CompressionError], *words: str) -> None:
    assert type(error) is kind
    assert "\n" not in str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 - 1])


def spoil(path: Path) -> None:
    path.write_bytes(b"hello")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def with_labels(**labels: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **labels)


def too_large(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2 * 3073] = 11
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "file", "harm", "words"),
    [
        (SHEETS, "train_01.webp", Path.unlink, ("train_01.webp is missing", "2 sheets have 40 of 60")),
        (SHEETS, "train_02.webp", Path.unlink, ("train_02.webp is missing", "2 sheets have 40 of 60")),
        (SHEETS, "test_00.webp", Path.unlink, ("test_00.webp is missing", "0 of 20")),
        (SHEETS, "train_01.webp", cut, ("train_01.webp: damaged", "get it again")),
        (SHEETS, "train_01.webp", spoil, ("train_01.webp: damaged (no image)",)),
        (SHEETS, "labels.npz", Path.unlink, ("labels.npz: there is no such file",)),
        (SHEETS, "labels.npz", cut, ("labels.npz: damaged",)),
        (SHEETS, "labels.npz", spoil, ("labels.npz: damaged",)),
        (SHEETS, "labels.npz", empty, ("labels.npz: the file is empty",)),
        (SHEETS, "labels.npz", with_labels(train=np.zeros(60, int)), ("holds labels for train, none for test",)),
        (SHEETS, "labels.npz", with_labels(train=np.zeros(60), test=np.zeros(20, int)), ("train is float64", "[60]")),
        (
            SHEETS,
            "labels.npz",
            with_labels(train=np.zeros(50, int), test=np.zeros(20, int)),
            ("60 images and 50 labels",),
        ),
        (
            SHEETS,
            "labels.npz",
            with_labels(train=np.full(60, 10), test=np.zeros(20, int)),
            ("60 of 60 labels", "first 10"),
        ),
        (SHEETS, "labels.npz", with_labels(train=np.array([{}] * 60)), ("labels.npz: damaged", "allow_pickle")),
        (BINARY, RECORDS, Path.unlink, ("data_batch_2.bin: there is no such file",)),
        (BINARY, RECORDS, cut, ("images of 3,073 bytes",)),
        (BINARY, RECORDS, too_large, ("1 of 12 labels are no class, first 11 at image 2", "0 to 9")),
        (PICKLES, BATCH, Path.unlink, ("data_batch_2: there is no such file",)),
        (PICKLES, BATCH, cut, ("data_batch_2: damaged",)),
        (PICKLES, BATCH, spoil, ("data_batch_2: ", "get")),
    ],
)
def test_a_damaged_set_is_refused_naming_the_file(
    tmp_path: Path, write: Callable[..., None], file: str, harm: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    write(tmp_path, drawn())
    data.load(f"cifar10:{tmp_path}")  # as written, it is fine
    harm(tmp_path / file)
    assert_says(refusal(f"cifar10:{tmp_path}"), DataError, *words)


@pytest.mark.parametrize(
    ("file", "harm", "words"),
    [
        ("train-images-idx3-ubyte.gz", Path.unlink, ("train-images-idx3-ubyte.gz: there is no such file",)),
        ("train-images-idx3-ubyte.gz", cut, ("cannot be unpacked",)),
        ("train-labels-idx1-ubyte.gz", spoil, ("begins with 68 65 6c 6c", "IDX")),
    ],
)
@pytest.mark.filterwarnings("error")
def test_damaged_idx_files_are_refused(
    tmp_path: Path, file: str, harm: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    image_files.write_idx(tmp_path, drawn(side=28, channels=1))
    harm(tmp_path / file)
    assert_says(refusal(f"fashion_mnist:{tmp_path}"), DataError, file, *words)


def test_an_idx_file_that_says_more_than_it_holds_is_refused_at_once(tmp_path: Path) -> None:
    image_files.write_idx(tmp_path, drawn(side=28, channels=1), packed=False)
    head = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head + bytes(100))
    assert_says(refusal(f"fashion_mnist:{tmp_path}"), DataError, "100 bytes of 4294967295x", "cut off")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_in_a_batch_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    PICKLES(tmp_path, drawn())
    sprung = tmp_path / "sprung"
    harmful = pickle.dumps({b"labels": [1], b"data": Trap(sprung)}, protocol=protocol)
    (tmp_path / BATCH).write_bytes(harmful)
    error = refusal(f"cifar10:{tmp_path}")
    assert_says(error, DataError, "data_batch_2: holds", "nothing was run", "'posix.system'" if protocol > 1 else "")
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], ("holds a list",)),
        ({b"labels": [1]}, ("data is no array",)),
        ({b"labels": [1], b"data": np.zeros((1, 10), np.uint8)}, ("data is [1, 10]", "3072")),
        ({b"labels": ["a"], b"data": np.zeros((1, 3072), np.uint8)}, ("no list of fine_labels or labels",)),
        ({b"labels": [1], b"data": np.zeros((1, 3072), np.float32)}, ("not of bytes",)),
        ({b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)}, ("1 images and 2 labels",)),
        ({b"labels": [-1], b"data": np.zeros((1, 3072), np.uint8)}, ("first -1 at image 0",)),
    ],
)
def test_a_batch_of_something_else_is_refused(tmp_path: Path, content: Any, words: tuple[str, ...]) -> None:
    PICKLES(tmp_path, drawn())
    (tmp_path / BATCH).write_bytes(pickle.dumps(content, protocol=2))
    assert_says(refusal(f"cifar10:{tmp_path}"), DataError, "data_batch_2", *words)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    image_files.write_classes(tmp_path, drawn(30, 12, classes=3, side=8))
    return tmp_path


def test_unreadable_images_in_a_folder_are_named_counted_and_left_out_only_when_asked(classes: Path) -> None:
    first, second = sorted((classes / "train" / "dog").iterdir())[3:5]
    cut(first)
    spoil(second)
    name = f"{Path('train', 'dog', first.name)}"
    assert_says(refusal(f"images:{classes}"), DataError, "2 of 42 images cannot be read", name, "no image", "?skip=1")
    loaded = data.load(f"images:{classes}?skip=1&validation=0")
    assert loaded.rows["train"] == 28
    assert "2 of 42" in loaded.notes[0] and name in loaded.notes[0]


def test_an_image_of_another_size_is_named(classes: Path) -> None:
    odd = sorted((classes / "test" / "eel").iterdir())[1]
    Image.new("RGB", (9, 8)).save(odd)
    assert_says(refusal(f"images:{classes}"), DataError, "1 of 42 images are not 8x8", odd.name, "8x9", "?size=8")
    assert data.load(f"images:{classes}?size=8").image_shape == (3, 8, 8)


def test_folders_without_images_are_refused(classes: Path, tmp_path: Path) -> None:
    (classes / "train" / "fly").mkdir()
    assert_says(refusal(f"images:{classes}"), DataError, "1 of 4 classes have no image, first 'fly'")
    (classes / "train" / "fly").rmdir()
    (classes / "test" / "gnu").mkdir()
    assert_says(refusal(f"images:{classes}"), DataError, "class 'gnu' is not among the 3 of training")
    bare = tmp_path / "bare"
    assert_says(refusal(f"images:{bare}"), DataError, "bare: there is no such folder")
    assert_says(refusal(f"cifar10:{bare}"), DataError, "bare: there is no such folder")
    bare.mkdir()
    assert_says(refusal(f"images:{bare}"), DataError, "0 folders in it", "a folder for each class")
    assert_says(refusal(f"cifar10:{bare}"), DataError, "holds no CIFAR-10", "cifar-10-batches-py/", "*.parquet")
    (bare / "one").mkdir()
    (bare / "two").mkdir()
    assert_says(refusal(f"images:{bare}"), DataError, "no image in its class folders", ".png")


def test_images_of_more_than_eight_bits_are_refused_by_name(classes: Path) -> None:
    deep = sorted((classes / "train" / "cat").iterdir())[0]
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(deep)
    assert_says(refusal(f"images:{classes}"), DataError, deep.name, "more than 8 bits")


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("scoring=1", SettingsError, ("scoring=1", "one image has no spread", "at least 2")),
        ("scoring=900", SettingsError, ("scoring=900", "900 images", "54 of 54")),
        ("validation=60", SettingsError, ("validation=60", "50 of 60")),
        ("test=21", SettingsError, ("test=21", "20 of 20")),
        ("test=-1", SettingsError, ("test='-1'", "from 0 up")),
        ("limit=1", SettingsError, ("limit='1'", "from 2 up")),
        ("batch_size=0", SettingsError, ("batch_size='0'",)),
        ("normalise=imagnet", UnknownNameError, ("'imagnet'", "did you mean imagenet")),
        ("normalise=1,0", SettingsError, ("STD above 0",)),
        ("normalise=1,2,3", SettingsError, ("MEAN,STD",)),
        ("augment=crop,flop", UnknownNameError, ("'flop'", "flip")),
        ("mixup=nan", SettingsError, ("mixup='nan'",)),
        ("channels=2", SettingsError, ("channels='2'", "1 (grey) or 3")),
        ("size=8", UnknownNameError, ("'size' is not a known option of cifar10:",)),
        ("validaton=8", UnknownNameError, ("did you mean validation",)),
        ("limit=5&limit=6", SettingsError, ("limit= is given twice",)),
    ],
)
def test_options_out_of_range_are_refused(
    tmp_path: Path, query: str, kind: type[CompressionError], words: tuple[str, ...]
) -> None:
    BINARY(tmp_path, drawn())
    assert_says(refusal(f"cifar10:{tmp_path}?{query}"), kind, *words)


def test_an_address_without_a_folder_is_refused() -> None:
    assert_says(refusal("cifar10:?limit=5"), SettingsError, "the folder is not given", "cifar10:DIR")
    assert_says(refusal("cifar10:"), SettingsError, "incomplete", "cifar10:DIR")
    assert_says(refusal("cifar:x"), UnknownNameError, "did you mean", "cifar10:DIR")


def test_a_scoring_set_smaller_than_a_batch_is_one_batch(tmp_path: Path) -> None:
    BINARY(tmp_path, drawn())
    (batch,) = data.load(f"cifar10:{tmp_path}?scoring=20", batch_size=64).task.calibration or []
    assert len(batch[0]) == 20


def test_tables_without_pyarrow_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1")
    assert_says(refusal(f"cifar10:{tmp_path}"), DataError, "train-0.parquet", "pip install pyarrow")


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1" + bytes(40))
    assert_says(refusal(f"cifar10:{tmp_path}"), DataError, "train-0.parquet: cannot be read")
    (tmp_path / "train-0.parquet").rename(tmp_path / "all.parquet")
    assert_says(refusal(f"cifar10:{tmp_path}"), DataError, "no table has train in its name")
