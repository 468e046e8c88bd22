"""Data addresses, such as `csv:adult.csv?target=income`, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secateur.data import images, query, texts
from secateur.data.dataset import Kind
from secateur.data.images import ImageSet
from secateur.data.texts import TextSet
from secateur.errors import SettingsError, UnknownNameError

FORMS: Mapping[str, str] = {
    "sklearn": "sklearn:NAME",
    "csv": "csv:FILE?target=COLUMN",
    "FILE.py": "FILE.py:FUNCTION",
    **images.FORMS,
    **texts.FORMS,
}
OPTIONS = ("target", "header", "missing", "test", "task", "sep", "stream")
SEPARATORS = {"tab": "\t", "space": r"\s+"}
KINDS: dict[str, Kind] = {"classification": "classification", "regression": "regression"}


@dataclass(frozen=True)
class Bundled:
    """Data that comes with scikit-learn."""

    name: str


@dataclass(frozen=True)
class Table:
    """A CSV file and how to read it. `kind` None is found out from the target."""

    path: Path
    target: str
    header: bool = True
    missing: tuple[str, ...] = ()
    test: Path | None = None
    kind: Kind | None = None
    separator: str = ","
    stream: bool = False


@dataclass(frozen=True)
class Function:
    """A function in a Python file."""

    path: Path
    name: str


Address = Bundled | Table | Function | ImageSet | TextSet


def parse(address: str) -> Address:
    """What an address names: data of scikit-learn, a table, images, texts, or a function; `FORMS` has their forms.

    Options of `csv:` are target (a name, or a number from 0, or from -1 backwards), header (0 or 1; 0 where the target
    is a number), missing (texts that mean missing, with commas between), test (a file), task, sep (a character, tab or
    space) and stream (0 or 1). Special characters may be written as in a web address, such as %26 for &.

    Options of images are validation and test (numbers of images, or shares below 1), scoring (images to calibrate on),
    limit (images of each part), seed, batch_size, normalise (imagenet, cifar, cifar100, fashion, none, or MEAN,STD),
    augment (crop and flip with a comma, or none), mixup and cutmix (α, 0 for none), channels (1 or 3) and channels_last
    (0 or 1); of `images:` also size (pixels along a side) and skip (0 or 1, leaves out what cannot be read).

    Options of texts are validation, test, scoring, limit, seed and batch_size as for images, max_length (tokens) and
    tokenizer (a folder); of `hf:` also text (a column, or two with a comma), label (a column) and config.

    Raises:
        UnknownNameError: there is no such kind of data, or no such option.
        SettingsError: an option has a value it cannot have, or the target is not given.
    """
    scheme, colon, rest = address.partition(":")
    path, _, function = address.rpartition(":")
    match scheme:
        case "cifar10" | "cifar100" | "fashion_mnist" | "images" if rest:
            return images.parse(scheme, rest)
        case _ if texts.is_text(scheme):
            return texts.parse(scheme, rest)
    if scheme == "sklearn" and rest:
        return Bundled(rest)
    if scheme == "csv" and rest:
        return _table(rest)
    if path.endswith(".py") and function:
        return Function(Path(path), function)
    if scheme in FORMS or address.endswith(".py"):
        raise SettingsError(f"{address!r} is incomplete; write {FORMS.get(scheme, FORMS['FILE.py'])}.")
    raise UnknownNameError("data address", scheme if colon else address, FORMS.values())


def _table(rest: str) -> Table:
    file, _, text = rest.partition("?")
    options = query.options("csv", text, OPTIONS)
    target = options.get("target")
    if not target:
        raise SettingsError(f"csv:{file}: the target column is not given; write csv:{file}?target=COLUMN.")
    if not file:
        raise SettingsError(f"csv:?{text}: the file is not given; write {FORMS['csv']}.")
    by_number = target.removeprefix("-").isdecimal()
    return Table(
        path=Path(file).expanduser(),
        target=target,
        header=query.switch("csv", options, "header", default=not by_number),
        missing=tuple(text for text in options.get("missing", "").split(",") if text),
        test=Path(options["test"]).expanduser() if options.get("test") else None,
        kind=_kind(options.get("task")),
        separator=_separator(options.get("sep", ",")),
        stream=query.switch("csv", options, "stream", default=False),
    )


def _kind(value: str | None) -> Kind | None:
    if value and value not in KINDS:
        raise UnknownNameError("task", value, KINDS)
    return KINDS[value] if value else None


def _separator(value: str) -> str:
    if value not in SEPARATORS and len(value) != 1:
        raise SettingsError(f"csv: sep={value!r}; it must be one character, {' or '.join(SEPARATORS)}.")
    return SEPARATORS.get(value, value)
