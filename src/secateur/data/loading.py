"""Data from an address."""

from secateur.data import bundled, functions, tables
from secateur.data.addresses import Bundled, Function, Table, parse
from secateur.data.dataset import Data
from secateur.data.splits import Shares
from secateur.errors import SettingsError


def load(address: str, *, seed: int = 0, batch_size: int = 256, validation: float = 0.2, test: float = 0.2) -> Data:
    """Data from `sklearn:NAME`, `csv:FILE?target=COLUMN` (`addresses.parse` has its options) or `FILE.py:FUNCTION`.

    A table is split with `seed`: `validation` and `test` are shares of its rows, by class in a classification.
    Everything is learned from the training rows alone: numbers and a regression's target are standardised, text is
    one-hot, gaps become the median or a category `missing`. Calibration reads the training rows in order.

    Raises:
        DataError: the data cannot be read, or there is nothing to learn from it.
        SettingsError: the address or a setting is not one; UnknownNameError suggests the nearest.
    """
    shares = Shares(validation, test, seed)
    if batch_size < 1:
        raise SettingsError(f"batch_size is {batch_size}; it must be at least 1.")
    match parse(address):
        case Bundled(name):
            return bundled.load(name, shares, batch_size)
        case Table() as table:
            return tables.load(table, shares, batch_size)
        case Function(path, name):
            return functions.load(path, name, {"seed": seed, "batch_size": batch_size})
