"""A safetensors file with a note in its header, both under checksums.

Layout (safetensors): 8 bytes with the header's length, the header in JSON, the tensors' bytes. The header's string map
`__metadata__` holds `secateur`, the note as JSON, `secateur_header`, SHA-256 of the rest of the header, and `format`
`pt`, without which older versions of transformers refuse a file. The note holds `format`, `sha256` of the tensors'
bytes, and `tensors`: names that stand for a tensor written under another name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as packed
from torch import Tensor

from secateur.errors import FileError
from secateur.files import reading, replacing

FORMAT = 1
_NOTE, _CHECKSUM, _METADATA = "secateur", "secateur_header", "__metadata__"
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_UNREADABLE = (
    SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    AssertionError,
    MemoryError,
    AttributeError,
)
_AGAIN = "copy or download it again"

Note = dict[str, Any]


@dataclass(frozen=True)
class _Header:
    entries: Mapping[str, Any]
    metadata: Mapping[str, Any]
    end: int


def write(tensors: Mapping[str, Tensor], ties: Mapping[str, str], path: str | Path, note: Note) -> None:
    """Write contiguous CPU tensors that share no memory, further names for some of them, and a note.

    Raises:
        FileError: the place cannot be written, or the disk is full.
    """
    plain = memoryview(packed(dict(tensors)))
    end = 8 + int.from_bytes(plain[:8], "little")
    entries = json.loads(bytes(plain[8:end]))
    sha256 = hashlib.sha256(plain[end:]).hexdigest()
    metadata = {"format": "pt", _NOTE: json.dumps({"format": FORMAT, **note, "tensors": dict(ties), "sha256": sha256})}
    metadata[_CHECKSUM] = _digest(entries, metadata)
    header = json.dumps({_METADATA: metadata, **entries}).encode()
    header += b" " * (-len(header) % 8)  # tensors start at a multiple of 8 bytes
    with replacing(path) as draft, draft.open("wb") as file:
        for part in (len(header).to_bytes(8, "little"), header, plain[end:]):
            file.write(part)


def read_note(path: str | Path) -> Note | None:
    """The note in a file's header, checked, without reading any tensor; None where it has none.

    Raises:
        FileError: the file is damaged, is no safetensors file, or is of a later format.
    """
    with reading(path) as source:
        return _checked_note(_header(source), source)


def read(path: str | Path) -> tuple[dict[str, Tensor], Note | None]:
    """The tensors, under all their names, and the note; both checked.

    Raises:
        FileError: as for `read_note`.
    """
    with reading(path) as source:
        header = _header(source)
        note = _checked_note(header, source)
        if note is not None and _body_digest(source, header.end) != note["sha256"]:
            raise FileError(f"{source}: its tensors do not match their checksum, so the file is damaged; {_AGAIN}.")
        try:
            tensors = load_file(source)
            ties = {} if note is None else note["tensors"]
            return tensors | {name: tensors[written] for name, written in ties.items()}, note
        except _UNREADABLE as error:
            raise FileError(f"{source}: not a sound safetensors file ({_first_line(error)}); {_AGAIN}.") from error


def _header(source: Path) -> _Header:
    size = source.stat().st_size
    with source.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            claim = f"its header claims {length:,} bytes, the file has {size:,}"
            raise FileError(f"{source}: not a safetensors file, or cut short: {claim}; check the path, or {_AGAIN}.")
        text = file.read(length)
    try:
        entries = json.loads(text)
        metadata = entries.pop(_METADATA, {})
        return _Header(dict(entries), dict(metadata), 8 + length)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{source}: its header is not what safetensors writes; {_AGAIN}.") from error


def _checked_note(header: _Header, source: Path) -> Note | None:
    if _NOTE not in header.metadata and _CHECKSUM not in header.metadata:
        return None
    try:
        note = json.loads(header.metadata[_NOTE])
        found = note["format"]
        metadata = {key: value for key, value in header.metadata.items() if key != _CHECKSUM}
        sound = header.metadata.get(_CHECKSUM) == _digest(header.entries, metadata) and isinstance(note["sha256"], str)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"{source}: its note is not what secateur writes, so the file is damaged; {_AGAIN}.") from error
    if found != FORMAT:
        raise FileError(f"{source}: format {found}, but this version reads format {FORMAT}; update secateur.")
    if not sound:
        raise FileError(f"{source}: its header does not match its checksum, so the file is damaged; {_AGAIN}.")
    return dict(note)


def _digest(entries: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([entries, metadata], sort_keys=True).encode()).hexdigest()


def _body_digest(source: Path, start: int) -> str:
    with source.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
