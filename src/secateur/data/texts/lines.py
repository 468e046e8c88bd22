"""Text files line by line: tables with tabs and no quotes, as GLUE distributes them, and plain corpora."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.data.texts.written import Found, Texts
from secateur.errors import DataError

_MARK = "\ufeff"  # what some editors put before the first letter


@dataclass(frozen=True, eq=False)
class Table:
    """The wanted columns of a file, the line that each row is from, and how many rows were left out as empty."""

    path: Path
    columns: Mapping[str, list[str]]
    lines: list[int]
    empty: int

    @property
    def note(self) -> str:
        """What was left out, if anything was."""
        return _left_out(self.path, self.empty)


def folder_at(folder: Path) -> Path:
    """The folder.

    Raises:
        DataError: there is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; check the path (the current folder is {Path.cwd()}).")
    return folder


def corpus(path: Path) -> Found:
    """The lines of a file that hold a text, without labels.

    Raises:
        DataError: the file is missing, no UTF-8, or has fewer than two texts.
    """
    written = lines_of(path)
    texts = [line.strip() for line in written if line.strip()]
    if len(texts) < 2:
        found = f"holds {len(texts)} text" + ("s" if not texts else "")
        raise DataError(f"{path}: {found}, which has no spread to score by; give two at least, one on each line.")
    note = _left_out(path, len(written) - len(texts))
    return Found({"train": Texts((texts,))}, (), None, (note,) if note else ())


def table(path: Path, wanted: Sequence[str], header: Sequence[str] = ()) -> Table:
    """The wanted columns of a table, without the rows in which one of them is empty; quotes are letters like others.

    `header` names the columns of a file whose first line is a row.

    Raises:
        DataError: a column is missing, a line has more or fewer cells, no row is left, or it is no UTF-8.
    """
    written = lines_of(path)
    names = tuple(header) or tuple(written[0].split("\t") if written else ())
    missing = [name for name in wanted if name not in names]
    if missing:
        found = f"has no column {missing[0]!r}, but {', '.join(map(repr, names)) or 'nothing'}"
        raise DataError(f"{path}: {found}; check that it is the right task's file, with tabs between its columns.")
    places = [names.index(name) for name in wanted]
    rows: list[list[str]] = []
    lines: list[int] = []
    first = 1 if header else 2
    for number, line in enumerate(written[first - 1 :], first):
        cells = line.split("\t")
        if len(cells) != len(names):
            found = f"line {number} has {len(cells)} cells, but there are {len(names)} columns"
            raise DataError(f"{path}: {found}; get the file again, with one tab between cells.")
        chosen = [cells[place].strip() for place in places]
        if all(chosen):
            rows.append(chosen)
            lines.append(number)
    if not rows:
        raise DataError(f"{path}: holds no row with a text; get the file again.")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(wanted)}
    return Table(path, columns, lines, empty=len(written) - first + 1 - len(rows))


def lines_of(path: Path) -> list[str]:
    """The lines of a file in UTF-8, without their ends.

    Raises:
        DataError: the file cannot be read, or a line is no UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = f"check the path (the current folder is {Path.cwd()})"
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}.") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"line {line}: byte 0x{content[error.start]:02x} is no UTF-8"
        raise DataError(f"{path}: {found}; save the file as UTF-8, as with iconv -f latin1 -t utf-8.") from error
    # not splitlines(), which also ends lines at letters that texts may hold
    lines = [line.removesuffix("\r") for line in text.removeprefix(_MARK).split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _left_out(path: Path, count: int) -> str:
    if count == 0:
        return ""
    return f"{path.name}: {count:,} empty {'text was' if count == 1 else 'texts were'} left out"
