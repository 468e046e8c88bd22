"""The published sets of images, and the forms in which their files come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from secateur.data.images import arrow, batches, binary, idx, sheets
from secateur.data.images.pictures import Found, Pictures, joined
from secateur.errors import DataError

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class Form:
    """One form: what its files are called, known by `signs` in the folder or in `inner`, and how they are read."""

    description: str
    signs: tuple[str, ...]
    read: Callable[[Path, int], Found]
    inner: tuple[str, ...] = ()

    def home(self, folder: Path) -> Path | None:
        """The folder that holds its files, if there is one."""
        homes = (folder, *(folder / name for name in self.inner))
        return next((home for home in homes if any(next(home.glob(sign), None) for sign in self.signs)), None)


@dataclass(frozen=True)
class Known:
    """A published set: its title, its classes, and the forms that it comes in; without names, classes are numbers."""

    title: str
    classes: int
    forms: tuple[Form, ...]
    class_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.class_names or tuple(map(str, range(self.classes)))


def read(source: str, folder: Path) -> Found:
    """The images of a published set, in whichever of its forms the folder holds them.

    Raises:
        DataError: the folder is missing or holds none of them, or its files are damaged.
    """
    known = SETS[source]
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; check the path (the current folder is {Path.cwd()}).")
    for form in known.forms:
        home = form.home(folder)
        if home is not None:
            return replace(form.read(home, known.classes), class_names=known.names)
    wanted = "; ".join(form.description for form in known.forms)
    raise DataError(f"{folder}: holds no {known.title} in a known form; the forms are: {wanted}.")


def _from_files(
    folder: Path, classes: int, *, train: tuple[str, ...], test: str, reader: Callable[[Path, int], Pictures]
) -> Found:
    training = joined([reader(folder / name, classes) for name in train])
    return Found({"train": training, "test": reader(folder / test, classes)}, ())


def _python(folder: str, train: tuple[str, ...], test: str) -> Form:
    return Form(
        description=f"{folder}/ (Python batches)",
        signs=(*train, test),
        read=partial(_from_files, train=train, test=test, reader=batches.read),
        inner=(folder,),
    )


def _binary(folder: str, train: tuple[str, ...], test: str, labels: int) -> Form:
    train, test = tuple(f"{name}.bin" for name in train), f"{test}.bin"
    return Form(
        description=f"{folder}/ (binary)",
        signs=(*train, test),
        read=partial(_from_files, train=train, test=test, reader=partial(binary.read, labels=labels)),
        inner=(folder,),
    )


SHEETS = Form("labels.npz with sheets train_00.webp, …", ("labels.npz", "train*_[0-9]*.webp"), sheets.read)
TABLES = Form("*.parquet or *.arrow (Hugging Face)", ("**/*.parquet", "**/*.arrow"), arrow.read)
IDX = Form("train-images-idx3-ubyte.gz and its like", ("*-ubyte", "*-ubyte.gz"), idx.read, ("FashionMNIST/raw", "raw"))
SETS: Mapping[str, Known] = {
    "cifar10": Known(
        title="CIFAR-10",
        classes=10,
        forms=(
            SHEETS,
            _python("cifar-10-batches-py", TRAIN_BATCHES, "test_batch"),
            _binary("cifar-10-batches-bin", TRAIN_BATCHES, "test_batch", labels=1),
            TABLES,
        ),
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "cifar100": Known(
        title="CIFAR-100",
        classes=100,
        forms=(
            SHEETS,
            _python("cifar-100-python", ("train",), "test"),
            _binary("cifar-100-binary", ("train",), "test", labels=2),
            TABLES,
        ),
    ),
    "fashion_mnist": Known(
        title="Fashion-MNIST",
        classes=10,
        forms=(IDX, TABLES),
        class_names=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
    ),
}  # fmt: skip
