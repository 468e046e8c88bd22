"""Data from an address."""

from dataclasses import replace
from typing import TypeVar

from secateur.data import bundled, functions, images, tables, texts
from secateur.data.addresses import Bundled, Function, Table, parse
from secateur.data.dataset import Data
from secateur.data.images import ImageSet
from secateur.data.splits import Shares
from secateur.data.texts import TextSet
from secateur.errors import SettingsError

Many = TypeVar("Many", ImageSet, TextSet)


def load(
    address: str,
    *,
    seed: int = 0,
    batch_size: int = 256,
    validation: float | None = None,
    test: float | None = None,
    tokenizer: str | None = None,
) -> Data:
    """Data from an address; `addresses.parse` has all forms and their options.

    A table is split with `seed`: `validation` and `test` are shares of its rows (0.2 each), by class in a
    classification. Everything is learned from the training rows alone: numbers and a regression's target are
    standardised, text is one-hot, gaps become the median or a category `missing`. Calibration reads the training rows
    in order.

    Images are drawn with `seed` too, and `validation` and `test` may be numbers of images; what the address says itself
    counts. Calibration reads 5,000 training images as they are, training moves and mirrors them.

    Texts are drawn in the same way, and become tokens by the tokenizer in the folder `tokenizer`, which is the model's
    own.

    Raises:
        DataError: the data cannot be read, or there is nothing to learn from it.
        SettingsError: the address or a setting is not one; UnknownNameError suggests the nearest.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size is {batch_size}; it must be at least 1.")
    match parse(address):
        case Bundled(name):
            return bundled.load(name, _shares(validation, test, seed), batch_size)
        case Table() as table:
            return tables.load(table, _shares(validation, test, seed), batch_size)
        case Function(path, name):
            return functions.load(path, name, {"seed": seed, "batch_size": batch_size})
        case ImageSet() as found:
            return images.load(_completed(found, seed, batch_size, validation, test))
        case TextSet() as named:
            wanted = _completed(named, seed, batch_size, validation, test)
            return texts.load(replace(wanted, tokenizer=wanted.tokenizer or tokenizer))


def _shares(validation: float | None, test: float | None, seed: int) -> Shares:
    usual = Shares(seed=seed)
    return Shares(usual.validation if validation is None else validation, usual.test if test is None else test, seed)


def _completed(found: Many, seed: int, batch_size: int, validation: float | None, test: float | None) -> Many:
    """The set with the caller's settings where the address says nothing."""
    return replace(
        found,
        division=found.division.completed(validation, test),
        seed=seed if found.seed is None else found.seed,
        batch_size=batch_size if found.batch_size is None else found.batch_size,
    )
