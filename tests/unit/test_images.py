"""Images from files of every form become the same batches, rightly divided and normalised."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch import Tensor

import image_files
from image_files import Set, drawn
from secateur import data
from secateur.data import Data

PLAIN = "normalise=none"
WHOLE = f"validation=0&{PLAIN}"
TEN_FORMS: dict[str, Callable[[Path, Set], None]] = {
    "sheets": image_files.write_sheets,
    "binary": image_files.write_binary,
    **{
        f"pickles of protocol {protocol}": partial(
            image_files.write_pickles, dump=partial(pickle.dumps, protocol=protocol)
        )
        for protocol in (2, 3, 4)
    },
    "pickles of Python 2": partial(image_files.write_pickles, dump=image_files.as_python_2),
}


def pixels_of(loaded: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The bytes and labels of a split, in the order of its files."""
    inputs, labels = zip(*getattr(loaded.task, split), strict=True)
    found = torch.cat(inputs).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return found.numpy(), torch.cat(labels).numpy()


def assert_holds(loaded: Data, images: Set) -> None:
    for split, (pixels, labels) in {"calibration": images.train, "test": images.test}.items():
        found, classes = pixels_of(loaded, split)
        assert_array_equal(found, pixels)
        assert_array_equal(classes, labels)


@pytest.mark.parametrize("form", TEN_FORMS)
def test_every_form_of_cifar_gives_the_images_that_were_written(tmp_path: Path, form: str) -> None:
    images = drawn()
    TEN_FORMS[form](tmp_path, images)
    loaded = data.load(f"cifar10:{tmp_path}?{WHOLE}")
    assert_holds(loaded, images)
    assert (loaded.image_shape, loaded.outputs, loaded.class_names[3]) == ((3, 32, 32), 10, "cat")
    assert dict(loaded.rows) == {"train": 60, "calibration": 60, "test": 20}


@pytest.mark.parametrize(
    "write",
    [
        image_files.write_fine_binary,
        image_files.write_fine_pickles,
        image_files.write_sheets,
        partial(image_files.write_sheets, name="train5k"),
    ],
)
def test_the_fine_labels_of_cifar100_count(tmp_path: Path, write: Callable[[Path, Set], None]) -> None:
    images = drawn(200, 100, classes=100)
    write(tmp_path, images)
    loaded = data.load(f"cifar100:{tmp_path}?{WHOLE}")
    assert_holds(loaded, images)
    assert loaded.outputs == 100


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("inner", ["", "FashionMNIST/raw"])
def test_idx_files_give_the_images_that_were_written(tmp_path: Path, inner: str, packed: bool) -> None:
    images = drawn(side=28, channels=1)
    image_files.write_idx(tmp_path / inner, images, packed=packed)
    loaded = data.load(f"fashion_mnist:{tmp_path}?{WHOLE}")
    assert_holds(loaded, images)
    assert (loaded.image_shape, loaded.class_names[-1]) == ((1, 28, 28), "Ankle boot")


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_tables_of_hugging_face_give_the_images_that_were_written(tmp_path: Path, form: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = drawn()
    for part, (pixels, labels) in {"train": images.train, "test": images.test}.items():
        cells = [{"bytes": image_files.as_png(image), "path": None} for image in pixels]
        table = pyarrow.table({"img": cells, "label": labels.tolist()})
        if form == "parquet":
            (tmp_path / "train_and_test").mkdir(exist_ok=True)
            parquet.write_table(table, tmp_path / "train_and_test" / f"{part}-00000-of-00001.parquet")
        else:
            (tmp_path / part).mkdir()
            with pyarrow.ipc.new_stream(tmp_path / part / "data-00000-of-00001.arrow", table.schema) as file:
                file.write_table(table)
    assert_holds(data.load(f"cifar10:{tmp_path}?{WHOLE}"), images)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_for_each_class_is_read_by_name_of_class_and_file(tmp_path: Path, ending: str, channels: int) -> None:
    images = drawn(30, 12, classes=3, side=8, channels=channels)
    image_files.write_classes(tmp_path, images, ending=ending)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    loaded = data.load(f"images:{tmp_path}?{WHOLE}")
    order = {split: np.argsort(labels, kind="stable") for split, (_, labels) in vars(images).items()}
    assert_holds(
        loaded, Set(*((part[order[name]], labels[order[name]]) for name, (part, labels) in vars(images).items()))
    )
    assert (loaded.class_names, loaded.image_shape) == (("cat", "dog", "eel"), (channels, 8, 8))


def test_without_folders_of_their_own_test_and_validation_are_held_out(tmp_path: Path) -> None:
    image_files.write_classes(tmp_path, drawn(60, 30, classes=3, side=8))
    loaded = data.load(f"images:{tmp_path / 'train'}?test=0.2&validation=9&{PLAIN}")
    assert dict(loaded.rows) == {"train": 39, "calibration": 39, "validation": 9, "test": 12}
    found = [pixels_of(loaded, split)[0].reshape(-1, 192) for split in ("calibration", "validation", "test")]
    assert len(np.unique(np.concatenate(found), axis=0)) == 60


def test_grey_images_become_coloured_among_coloured_ones_and_where_wanted(tmp_path: Path) -> None:
    images = drawn(12, 6, classes=3, side=8)
    image_files.write_classes(tmp_path, images)
    first = next((tmp_path / "train" / "cat").iterdir())
    Image.open(first).convert("L").save(first)
    mixed, _ = pixels_of(data.load(f"images:{tmp_path}?{WHOLE}"), "calibration")
    assert (mixed[0] == mixed[0, :, :, :1]).all() and not (mixed[1] == mixed[1, :, :, :1]).all()
    grey, labels = pixels_of(data.load(f"images:{tmp_path}?{WHOLE}&channels=1"), "test")
    wanted = [np.asarray(Image.fromarray(pixels).convert("L")) for pixels in images.test[0]]
    order = np.argsort(images.test[1], kind="stable")
    assert_array_equal(grey[..., 0], np.stack(wanted)[order])
    assert labels.tolist() == sorted(labels)


def test_images_are_resized_to_a_square_of_their_middle(tmp_path: Path) -> None:
    bands = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 4)  # twelve bands, four pixels wide
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            picture = np.broadcast_to(bands, (24, 48))
            Image.fromarray(picture if number else picture.T).save(tmp_path / name / f"{number}.png")
    pixels, _ = pixels_of(data.load(f"images:{tmp_path}?size=12&validation=0&test=0&{PLAIN}"), "calibration")
    assert pixels.shape == (4, 12, 12, 1)
    assert_array_equal(pixels[0], pixels[1].transpose(1, 0, 2))
    row = pixels[1, 5, :, 0].astype(int)
    np.testing.assert_allclose(row, np.repeat(np.arange(60, 180, 20), 2), atol=6)  # the middle six bands, blurred


def test_pixels_are_normalised_by_the_constants_of_the_address(tmp_path: Path) -> None:
    images = drawn()
    image_files.write_binary(tmp_path, images)
    for text, mean, std in (
        ("", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("&normalise=cifar", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        ("&normalise=0.5", [0.5] * 3, [0.5] * 3),
        ("&normalise=0.5,1", [0.5] * 3, [1.0] * 3),
    ):
        x, _ = next(iter(data.load(f"cifar10:{tmp_path}?validation=0{text}").task.test or []))
        wanted = (images.test[0] / 255.0 - mean) / std
        np.testing.assert_allclose(x.permute(0, 2, 3, 1).numpy(), wanted, atol=1e-6)


def test_channels_lie_last_in_memory_unless_that_is_not_wanted(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn())
    for last in (True, False):
        task = data.load(f"cifar10:{tmp_path}?channels_last={int(last)}").task
        for split in ("train", "calibration", "test"):
            x, _ = next(iter(getattr(task, split)))
            assert x.is_contiguous(memory_format=torch.channels_last) == last
            assert x.is_contiguous() != last and x.dtype == torch.float32


def labels_of(loaded: Data, split: str) -> list[int]:
    return torch.bincount(torch.cat([y for _, y in getattr(loaded.task, split)]), minlength=10).tolist()


def test_parts_have_equal_classes_and_share_no_image(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn(600, 100))
    loaded = data.load(f"cifar10:{tmp_path}?validation=100&scoring=200&test=50&{PLAIN}&augment=none", batch_size=64)
    assert dict(loaded.rows) == {"train": 500, "calibration": 200, "validation": 100, "test": 50}
    assert [labels_of(loaded, split) for split in loaded.rows] == [[50] * 10, [20] * 10, [10] * 10, [5] * 10]
    train, scoring, validation = (pixels_of(loaded, split)[0].reshape(-1, 3072) for split in list(loaded.rows)[:3])
    rows = {
        split: {row.tobytes() for row in part} for split, part in zip("tsv", (train, scoring, validation), strict=True)
    }
    assert rows["s"] < rows["t"] and not rows["t"] & rows["v"]
    assert len(rows["t"] | rows["v"]) == 600


def test_the_usual_parts_are_a_tenth_and_at_most_five_thousand() -> None:
    from secateur.data.choosing import Division, Draw, divide

    for images, held_out, scoring in ((60_000, 5_000, 5_000), (50_000, 5_000, 5_000), (5_000, 500, 4_500)):
        labels = {"train": np.arange(images) % 10, "test": np.arange(10)}
        chosen = divide(labels, Division(), Draw(0, "here"))
        assert [len(chosen[split].rows) for split in ("validation", "calibration")] == [held_out, scoring]


def test_limits_hold_for_every_part_and_each_class(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn(600, 100))
    loaded = data.load(f"cifar10:{tmp_path}?limit=40")
    assert dict(loaded.rows) == {"train": 40, "calibration": 40, "validation": 40, "test": 40}
    assert all(labels_of(loaded, split) == [4] * 10 for split in ("calibration", "validation", "test"))


def test_the_seed_decides_which_images_are_held_out(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn(600, 100))
    first, again, other, named = (
        pixels_of(data.load(f"cifar10:{tmp_path}?{PLAIN}{text}", seed=seed), "validation")[0]
        for seed, text in ((1, ""), (1, ""), (2, ""), (2, "&seed=1"))
    )
    assert_array_equal(first, again)
    assert_array_equal(first, named)
    assert (first != other).any()


def test_the_address_counts_before_the_caller(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn(600, 100))
    loaded = data.load(f"cifar10:{tmp_path}?batch_size=30&validation=60", batch_size=8, validation=0.5, test=20)
    x, _ = next(iter(loaded.task.train or []))
    assert (len(x), loaded.rows["validation"], loaded.rows["test"]) == (30, 60, 20)


def test_every_epoch_has_another_order_that_the_global_seed_decides(tmp_path: Path) -> None:
    image_files.write_binary(tmp_path, drawn())
    batches = data.load(f"cifar10:{tmp_path}?mixup=0.2&cutmix=1", batch_size=16).task.train or []

    def epoch() -> Tensor:
        return torch.cat([x.flatten(1).sum(1) + y.argmax(1) for x, y in batches])

    torch.manual_seed(3)
    first, second = epoch(), epoch()
    torch.manual_seed(3)
    assert torch.equal(first, epoch())
    assert not torch.equal(first, second)
    assert len(first) == 54
