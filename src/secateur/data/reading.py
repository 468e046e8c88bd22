"""CSV files, whole or in chunks, with every complaint of the parser in one line."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from secateur.errors import DataError

ALWAYS_MISSING = ("?",)  # besides pandas' own: nothing, NA, N/A, NaN, null, None, ...
CHUNK_CELLS = 2**20  # 8 MiB of float64

Types = Mapping[str, str]


@dataclass(frozen=True)
class CsvFile:
    """How to read a file. Without a header, columns are called by their number, from 0."""

    path: Path
    separator: str = ","
    header: bool = True
    missing: tuple[str, ...] = ()
    chunk_cells: int = CHUNK_CELLS

    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order.

        Raises:
            DataError: the file cannot be read.
        """
        with _one_line(self.path):
            first = pd.read_csv(self.path, header=self._header, nrows=1, dtype=str, **self._form())
        return tuple(str(name).strip() for name in first.columns)

    def table(self, types: Types) -> Any:
        """All rows, as a data frame with columns of these types.

        Raises:
            DataError: the file cannot be read.
        """
        names = self.columns()
        with _one_line(self.path):
            return pd.read_csv(self.path, names=names, header=self._header, dtype=types, **self._form())

    def chunks(self, types: Types) -> Iterator[Any]:
        """The rows in data frames of at most `chunk_cells` cells, numbered on; types that are not given are inferred.

        Raises:
            DataError: the file cannot be read.
        """
        names = self.columns()
        form = {**self._form(), "chunksize": max(1, self.chunk_cells // len(names)), "low_memory": False}
        with _one_line(self.path):
            reader = pd.read_csv(self.path, names=names, header=self._header, dtype=types, **form)
        with reader:
            while True:
                with _one_line(self.path):
                    chunk = next(reader, None)
                if chunk is None:
                    return
                yield chunk

    @property
    def _header(self) -> int | None:
        return 0 if self.header else None

    def _form(self) -> dict[str, Any]:
        return {
            "sep": self.separator,
            "skipinitialspace": True,
            "na_values": [*ALWAYS_MISSING, *self.missing],
            "index_col": False,
            "encoding": "utf-8",
        }


@dataclass(frozen=True)
class TypedChunks:
    """The chunks of a file with known types, to be read again and again."""

    file: CsvFile
    types: Types

    def __iter__(self) -> Iterator[Any]:
        return self.file.chunks(self.types)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turns what pandas raises into one DataError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)  # pandas would drop what the header has no name for
            yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path (the current folder is {Path.cwd()}).") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a CSV file.") from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path}: byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8.") from error
    except EmptyDataError as error:
        raise DataError(f"{path}: the file is empty; it needs a row for each example.") from error
    except ParserWarning as error:
        raise DataError(
            f"{path}: rows have more fields than the first line; mend them, or check sep= and header=."
        ) from error
    except ParserError as error:
        found = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise DataError(f"{path}: {found}; every row needs the same number of fields.") from error
