"""The target: classes or a number, and how its column becomes a tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64
from numpy import ndarray

from secateur.data.columns import MAX_CATEGORIES, Column, check_feature, check_finite, check_numeric
from secateur.data.dataset import Kind
from secateur.errors import DataError

MAX_INFERRED_CLASSES = 20


@dataclass(frozen=True)
class Classes:
    """A target of classes; `codes` gives the class of every text that stands for one."""

    column: str
    names: tuple[str, ...]
    codes: Mapping[str, int]

    def encode(self, table: Any) -> Int64[ndarray, " rows"]:
        """The class of each row."""
        texts = pd.Index(list(self.codes))
        of_text = np.array(list(self.codes.values()), dtype=np.int64)
        codes: ndarray = of_text[texts.get_indexer(table[self.column])]
        return codes


@dataclass(frozen=True)
class Scale:
    """A target that is a number, standardised."""

    column: str
    mean: float
    std: float

    def encode(self, table: Any) -> Float32[ndarray, " rows"]:
        """The standardised target of each row."""
        values: ndarray = table[self.column].to_numpy(dtype=np.float64)
        return ((values - self.mean) / self.std).astype(np.float32)


def decide(target: Column, wanted: Kind | None, place: str) -> Kind:
    """What the target asks for: classes if it is text or has at most 20 different whole numbers, else a number.

    Raises:
        DataError: an entry is missing or does not fit, or there is nothing to learn.
    """
    if target.missing:
        found = f"{target.missing} of {target.rows} entries are missing, first in row {target.first_missing}"
        raise DataError(f"{place}: target {target.name!r}: {found}; leave those rows out.")
    if wanted is None:
        check_feature(target, place, otherwise="use task=classification")
    kind = wanted or ("classification" if target.is_text or _is_few_whole_numbers(target) else "regression")
    check_finite(target, place)
    if kind == "regression":
        check_numeric(target, place)
    elif target.texts is None:
        found = f"target {target.name!r} has more than {MAX_CATEGORIES} classes"
        raise DataError(f"{place}: {found}; name another target, or use task=regression for numbers.")
    if target.texts is not None and len(_by_value(target)) < 2:
        found = f"all {target.entries} rows of target {target.name!r} are {next(iter(target.texts))!r}"
        raise DataError(f"{place}: {found}; at least two different values are needed to learn from.")
    return kind


def classes(target: Column, place: str) -> Classes:
    """The classes in a target's column, numbers by size and texts by alphabet.

    Raises:
        DataError: a class has one row only.
    """
    rows = _by_value(target)
    names = tuple(sorted(rows) if target.is_text else sorted(rows, key=float))
    for name in names:
        if rows[name] == 1:
            remedy = "give it a second row or leave it out" + ("." if target.is_text else ", or use task=regression.")
            raise DataError(f"{place}: class {name!r} of target {target.name!r} has one row only; {remedy}")
    codes = {text: names.index(_value(text, target)) for text in target.texts or ()}
    return Classes(target.name, names, codes)


def with_test_texts(known: Classes, train: Column, test: Column, place: str) -> tuple[Classes, bool]:
    """The classes with the spellings of a test file, and whether a full stop at their end had to go.

    Raises:
        DataError: the test file has a class that training lacks.
    """
    spelled = {text: _value(text, train) for text in test.texts or ()}
    strip = not set(spelled.values()) <= set(known.names)
    if strip:
        spelled = {text: _value(text.removesuffix("."), train) for text in spelled}
    strangers = sorted(text for text, name in spelled.items() if name not in known.names)
    if strangers or test.texts is None:
        shown = strangers[0] if strangers else "..."
        near = get_close_matches(shown, known.names, n=1) or known.names[:8]
        found = f"{len(strangers) or 'many'} classes of target {test.name!r} are not in training, first {shown!r}"
        raise DataError(f"{place}: {found}; training knows {', '.join(near)}.")
    codes = {text: known.names.index(name) for text, name in spelled.items()}
    return Classes(known.column, known.names, {**known.codes, **codes}), strip


def _is_few_whole_numbers(target: Column) -> bool:
    if target.texts is None:
        return False
    values = _by_value(target)
    return len(values) <= MAX_INFERRED_CLASSES and all(float(value).is_integer() for value in values)


def _by_value(target: Column) -> dict[str, int]:
    """The rows of each value; 1, 1.0 and 01 are one value where all are numbers."""
    rows: dict[str, int] = {}
    for text, count in (target.texts or {}).items():
        value = _value(text, target)
        rows[value] = rows.get(value, 0) + count
    return rows


def _value(text: str, column: Column) -> str:
    if column.is_text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else repr(number)
