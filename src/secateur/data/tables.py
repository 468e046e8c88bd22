"""Tables in CSV files."""

from dataclasses import replace

import numpy as np
from pandas import DataFrame

from secateur.data.addresses import Table
from secateur.data.assembly import Parts, assemble
from secateur.data.columns import Column, find, inspect
from secateur.data.dataset import Data
from secateur.data.layout import Layout, lay_out, with_test
from secateur.data.reading import CsvFile, TypedChunks
from secateur.data.splits import PARTS, Drawn, Selected, Shares, count_drawn, split


def load(table: Table, shares: Shares, batch_size: int) -> Data:
    """The data of a CSV file; with `stream`, memory does not grow with its rows.

    Raises:
        DataError: a file cannot be read, or its columns do not fit.
    """
    file = CsvFile(table.path, table.separator, table.header, table.missing)
    test = replace(file, path=table.test) if table.test else None
    target = find(file.columns(), table.target, str(file.path))
    layout = lay_out(inspected(file, target), target, table.kind, str(file.path))
    test_rows = 0
    if test:
        in_test = inspected(test, find(test.columns(), target, str(test.path)))
        layout = with_test(layout, in_test, str(test.path))
        test_rows = in_test[target].rows
        shares = replace(shares, test=0.0)
    make = streamed if table.stream else in_memory
    parts = make(file, layout, shares)
    if test:
        parts = _with_test(parts, TypedChunks(test, layout.types), test_rows)
    return assemble(table.path.stem, layout, parts, batch_size)


def in_memory(file: CsvFile, layout: Layout, shares: Shares) -> Parts:
    """The parts of a file that is read once and kept; split by class."""
    return split_in_memory(file.table(layout.types), layout, shares)


def split_in_memory(table: DataFrame, layout: Layout, shares: Shares) -> Parts:
    """The parts of a table in memory; split by class."""
    labels = layout.classes.encode(table) if layout.classes else np.zeros(len(table), dtype=np.int64)
    rows = split(labels, shares)
    chunks = {part: Selected(table, rows[part]) for part in PARTS}
    return Parts(chunks, {part: len(rows[part]) for part in PARTS}, streamed=False, seed=shares.seed)


def streamed(file: CsvFile, layout: Layout, shares: Shares) -> Parts:
    """The parts of a file that is read anew every time, in chunks; split by chance."""
    rows = TypedChunks(file, layout.types)
    chunks = {part: Drawn(rows, part, shares) for part in PARTS}
    return Parts(chunks, count_drawn(layout.target.rows, shares), streamed=True, seed=shares.seed)


def inspected(file: CsvFile, target: str) -> dict[str, Column]:
    """Every column of a file by name, with its target read as text."""
    return inspect(file.chunks({target: "str"}), target)


def _with_test(parts: Parts, chunks: TypedChunks, rows: int) -> Parts:
    return replace(parts, chunks={**parts.chunks, "test": chunks}, rows={**parts.rows, "test": rows})
