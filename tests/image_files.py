"""Small sets of images, written in each of the forms that published ones come in."""

import gzip
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True, eq=False)
class Set:
    """Pixels [rows, height, width, channels] and labels of both parts."""

    train: tuple[ndarray, ndarray]
    test: tuple[ndarray, ndarray]


def drawn(rows: int = 60, test: int = 20, *, classes: int = 10, side: int = 32, channels: int = 3) -> Set:
    """Noise, of classes in turn."""
    generator = np.random.default_rng(5)
    parts = [
        (
            generator.integers(0, 256, (count, side, side, channels), dtype=np.uint8),
            (generator.permutation(count) % classes).astype(np.int64),
        )
        for count in (rows, test)
    ]
    return Set(*parts)


def write_sheets(folder: Path, images: Set, *, name: str = "train", columns: int = 4) -> None:
    """Sheets of ten tiles a row of `columns`; the labels beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: images.train, "test": images.test}
    for part, (pixels, _) in parts.items():
        for number, start in enumerate(range(0, len(pixels), 5 * columns)):
            tiles = pixels[start : start + 5 * columns].reshape(5, columns, 32, 32, 3)
            sheet = Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in tiles]))
            sheet.save(folder / f"{part}_{number:02}.webp", lossless=True)
    np.savez(folder / "labels.npz", **{part: labels.astype(np.uint8) for part, (_, labels) in parts.items()})


def write_binary(folder: Path, images: Set) -> None:
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    for name, (pixels, labels) in _files(images).items():
        records = np.concatenate([labels[:, None].astype(np.uint8), _planes(pixels)], axis=1)
        (inner / f"{name}.bin").write_bytes(records.tobytes())


def write_fine_binary(folder: Path, images: Set) -> None:
    inner = folder / "cifar-100-binary"
    inner.mkdir(parents=True)
    for name, (pixels, labels) in {"train": images.train, "test": images.test}.items():
        fine = labels[:, None].astype(np.uint8)
        (inner / f"{name}.bin").write_bytes(np.concatenate([fine // 5, fine, _planes(pixels)], axis=1).tobytes())


def write_pickles(folder: Path, images: Set, *, dump: Callable[[Any], bytes] = pickle.dumps) -> None:
    inner = folder / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    for name, (pixels, labels) in _files(images).items():
        content = {
            b"batch_label": b"one",
            b"labels": labels.tolist(),
            b"data": _planes(pixels),
            b"filenames": [b"a.png"],
        }
        (inner / name).write_bytes(dump(content))


def write_fine_pickles(folder: Path, images: Set) -> None:
    inner = folder / "cifar-100-python"
    inner.mkdir(parents=True)
    for name, (pixels, labels) in {"train": images.train, "test": images.test}.items():
        content = {"coarse_labels": (labels // 5).tolist(), "fine_labels": labels.tolist(), "data": _planes(pixels)}
        (inner / name).write_bytes(pickle.dumps(content, protocol=2))


def as_python_2(content: Mapping[bytes, Any]) -> bytes:
    """The pickle that Python 2 wrote of the same: protocol 2, texts and bytes as one kind of short and long strings."""

    def text(value: bytes) -> bytes:
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value

    def array(value: ndarray) -> bytes:
        shape = b"(" + b"".join(b"J" + struct.pack("<i", side) for side in value.shape) + b"t"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        kind = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        kind += b"(K\x03" + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
        return empty + b"(K\x01" + shape + kind + b"\x89" + text(value.tobytes()) + b"tb"

    def written(value: Any) -> bytes:
        match value:
            case bytes():
                return text(value)
            case list():
                return b"](" + b"".join(b"K" + bytes([x]) if isinstance(x, int) else text(x) for x in value) + b"e"
        return array(value)

    pairs = b"".join(text(key) + b"q\x01" + written(value) for key, value in content.items())
    return b"\x80\x02}q\x00(" + pairs + b"u."


def write_idx(folder: Path, images: Set, *, packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, (pixels, labels) in {"train": images.train, "t10k": images.test}.items():
        arrays = {"images-idx3": pixels[..., 0], "labels-idx1": labels.astype(np.uint8)}
        for kind, array in arrays.items():
            head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            name, content = f"{prefix}-{kind}-ubyte", head + array.tobytes()
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def write_classes(
    folder: Path, images: Set, *, ending: str = "png", names: tuple[str, ...] = ("cat", "dog", "eel")
) -> None:
    """A folder for each class; the number of an image is its name."""
    for part, (pixels, labels) in {"train": images.train, "test": images.test}.items():
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            path = folder / part / names[label] / f"{number:03}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            as_image(image).save(path)


def as_image(pixels: ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def as_png(pixels: ndarray) -> bytes:
    file = BytesIO()
    as_image(pixels).save(file, format="png")
    return file.getvalue()


def _files(images: Set) -> dict[str, tuple[ndarray, ndarray]]:
    pixels, labels = images.train
    parts = zip(np.array_split(pixels, len(BATCHES)), np.array_split(labels, len(BATCHES)), strict=True)
    return {**dict(zip(BATCHES, parts, strict=True)), "test_batch": images.test}


def _planes(pixels: ndarray) -> ndarray:
    """One row for each image: all its red, then green, then blue."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)
