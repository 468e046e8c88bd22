"""What every column of a table holds: numbers, text, gaps, and where the first odd entry stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from secateur.errors import DataError

MAX_CATEGORIES = 1_000
MOSTLY = 0.9
LARGEST = float(np.finfo(np.float32).max)

Entry = tuple[int, str]  # its row, counted from 1 without the header, and its text


@dataclass(frozen=True)
class Column:
    """What a column holds: `entries` that are not missing, `numbers` of which are numbers.

    `first_*` are the first entries that are missing, are no number, or are too large for float32. `texts` counts each
    text of the target; it is None for other columns, and for more than `MAX_CATEGORIES` different texts.
    """

    name: str
    entries: int = 0
    missing: int = 0
    numbers: int = 0
    first_missing: int | None = None
    first_text: Entry | None = None
    first_infinite: Entry | None = None
    texts: Mapping[str, int] | None = None

    @property
    def is_text(self) -> bool:
        """Whether some entry is not a number."""
        return self.numbers < self.entries

    @property
    def rows(self) -> int:
        """All rows, with and without an entry."""
        return self.entries + self.missing


def inspect(chunks: Iterable[Any], target: str) -> dict[str, Column]:
    """Every column of a table by name, in order; the target's chunks must be text."""
    found: dict[str, Column] = {}
    for chunk in chunks:
        for name in chunk.columns:
            seen = _column(name, chunk[name], count=name == target)
            found[name] = _joined(found[name], seen) if name in found else seen
    return found


def find(columns: Iterable[str], target: str, place: str) -> str:
    """The name of the target's column; a whole number that names no column counts columns, from the end if negative.

    Raises:
        DataError: there is no such column.
    """
    names = tuple(columns)
    if target in names:
        return target
    if target.removeprefix("-").isdecimal() and -len(names) <= int(target) < len(names):
        return names[int(target)]
    near = get_close_matches(target, names, n=3, cutoff=0.5)
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    remedy = f"did you mean {' or '.join(near)}?" if near else f"the columns are {shown}."
    raise DataError(f"{place}: none of its {len(names)} columns is the target {target!r}; {remedy}")


def check_feature(column: Column, place: str, otherwise: str = "read them as missing with missing=TEXT") -> None:
    """Raises DataError where a column is nearly all numbers, but not quite, or holds infinity."""
    if column.is_text and column.numbers >= MOSTLY * column.entries:
        raise DataError(f"{_odd(column, place)}; mend them, or {otherwise}.{_hint(column)}")
    check_finite(column, place)


def check_numeric(column: Column, place: str) -> None:
    """Raises DataError where a column is not all numbers."""
    if column.is_text:
        raise DataError(f"{_odd(column, place)}; a column of numbers is needed here.")
    check_finite(column, place)


def check_finite(column: Column, place: str) -> None:
    """Raises DataError where a column of numbers holds infinity, or what float32 cannot hold."""
    if column.first_infinite and not column.is_text:
        row, text = column.first_infinite
        raise DataError(f"{place}: column {column.name!r} holds {text} in row {row}; numbers must be within ±3.4e38.")


def _odd(column: Column, place: str) -> str:
    assert column.first_text is not None  # a column of text has one
    row, text = column.first_text
    odd = column.entries - column.numbers
    found = f"{odd} of {column.entries} entries are not numbers, first {text!r} in row {row}"
    return f"{place}: column {column.name!r}: {found}"


def _hint(column: Column) -> str:
    lone = column.entries - column.numbers == 1 and column.first_text is not None and column.first_text[0] == 1
    return " If row 1 holds the columns' names, add header=1." if lone else ""


def _column(name: str, series: Any, *, count: bool) -> Column:
    present = series.dropna()
    numbers = as_numbers(present)
    is_number = ~np.isnan(numbers)
    is_large = is_number & (np.abs(numbers, where=is_number, out=np.zeros_like(numbers)) > LARGEST)
    gaps = series.index[series.isna()]
    return Column(
        name=name,
        entries=len(present),
        missing=len(gaps),
        numbers=int(is_number.sum()),
        first_missing=int(gaps[0]) + 1 if len(gaps) else None,
        first_text=_first(present[~is_number]),
        first_infinite=_first(present[is_large]),
        texts=_limited({str(text): int(n) for text, n in present.value_counts().items()}) if count else None,
    )


def as_numbers(series: Any) -> Any:
    """A series as float64 numbers, NaN for what is none; True and False are text."""
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        return series.to_numpy(dtype=np.float64)
    return pd.to_numeric(series.astype(str), errors="coerce").to_numpy(dtype=np.float64)


def _first(series: Any) -> Entry | None:
    return (int(series.index[0]) + 1, str(series.iloc[0])) if len(series) else None


def _joined(a: Column, b: Column) -> Column:
    """Two chunks of one column, `a` before `b`."""
    return Column(
        name=a.name,
        entries=a.entries + b.entries,
        missing=a.missing + b.missing,
        numbers=a.numbers + b.numbers,
        first_missing=a.first_missing if a.first_missing is not None else b.first_missing,
        first_text=a.first_text or b.first_text,
        first_infinite=a.first_infinite or b.first_infinite,
        texts=_summed(a.texts, b.texts),
    )


def _summed(a: Mapping[str, int] | None, b: Mapping[str, int] | None) -> Mapping[str, int] | None:
    if a is None or b is None:
        return None
    return _limited({text: a.get(text, 0) + b.get(text, 0) for text in (*a, *b)})


def _limited(texts: dict[str, int]) -> dict[str, int] | None:
    return texts if len(texts) <= MAX_CATEGORIES else None
