"""The tables that come with scikit-learn, read without a network."""

import importlib
from dataclasses import replace
from typing import Any

from secateur.data.assembly import assemble
from secateur.data.columns import inspect
from secateur.data.dataset import Data, Kind
from secateur.data.layout import lay_out
from secateur.data.splits import Shares
from secateur.data.tables import split_in_memory
from secateur.errors import DataError, UnknownNameError

KINDS: dict[str, Kind] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "iris": "classification",
    "wine": "classification",
}
TARGET = "target"


def load(name: str, shares: Shares, batch_size: int) -> Data:
    """The data of one of scikit-learn's tables.

    Raises:
        UnknownNameError: there is no such table.
        DataError: scikit-learn is not installed.
    """
    if name not in KINDS:
        raise UnknownNameError("table of scikit-learn", name, KINDS)
    bunch = _read(name)
    columns = inspect([bunch.frame.astype({TARGET: "str"})], TARGET)
    layout = lay_out(columns, TARGET, KINDS[name], f"sklearn:{name}")
    parts = split_in_memory(bunch.frame.astype(layout.types), layout, shares)
    data = assemble(name, layout, parts, batch_size)
    return replace(data, class_names=tuple(str(bunch.target_names[int(code)]) for code in data.class_names))


def _read(name: str) -> Any:
    """The table as scikit-learn gives it: a data frame, and the classes' names if it has classes."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        found = f"scikit-learn cannot be imported ({error})"
        raise DataError(f"sklearn:{name}: {found}; pip install scikit-learn, or give a csv: address.") from error
    return getattr(datasets, f"load_{name}")(as_frame=True)
