"""Weights from files that others wrote: safetensors, or PyTorch's pickles read without running any code in them.

A safetensors file may hold a weight in whole numbers, as `NAME_q` (int8) with `NAME_scale`, one number for each output
or one for all: the weight `NAME` is their product.
"""

import pickle
import re
import struct
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur import tensorfile
from secateur.errors import FileError
from secateur.files import reading

PICKLED = (".pt", ".pth", ".th", ".ckpt", ".tar")
_NESTED = ("state_dict", "model")
_WHOLE, _SCALE = "_q", "_scale"  # ends of the names of a weight in whole numbers
_DEEPEST = 3  # a damaged or hostile file may hold a dict that holds itself
# what torch.load has been seen to raise on damaged files, zip and legacy format alike
_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    AssertionError, MemoryError, OverflowError, ImportError, struct.error,
)  # fmt: skip


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU; nothing in it is run.

    It ends in `.safetensors`, or in `.pt`, `.pth`, `.th`, `.ckpt` or `.tar` as `torch.save` writes it; the last is a
    habit of training scripts, and no archive.

    Raises:
        FileError: the file is damaged, holds code, or holds something other than weights.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix == ".safetensors":
        return _dequantised(tensorfile.read(source)[0], source)
    if suffix not in PICKLED:
        known = ", ".join((".safetensors", *PICKLED))
        raise FileError(f"{source}: {suffix or 'no ending'} is not a known kind of weights; known: {known}.")
    with reading(source):
        return _state_dict(_unpickled(source), source)


def _dequantised(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """The tensors with every weight in whole numbers multiplied out; all other tensors as they are."""
    names = [name.removesuffix(_WHOLE) for name, tensor in tensors.items() if _is_whole(name, tensor, tensors)]
    used = {name + end for name in names for end in (_WHOLE, _SCALE)}
    found = {name: tensor for name, tensor in tensors.items() if name not in used}
    for name in names:
        whole, scale = tensors[name + _WHOLE], tensors[name + _SCALE]
        if scale.numel() not in (1, len(whole)):
            shapes = f"{list(whole.shape)} and {list(scale.shape)}"
            raise FileError(
                f"{source}: {name}: whole numbers and scale have shapes {shapes}; one for each output is due."
            )
        found[name] = whole.to(scale.dtype) * scale.reshape(-1, *[1] * (whole.dim() - 1))
    return found


def _is_whole(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    scale = tensors.get(name.removesuffix(_WHOLE) + _SCALE)
    is_named_so = name.endswith(_WHOLE) and scale is not None and scale.is_floating_point()
    return is_named_so and tensor.dtype == torch.int8 and tensor.dim() > 0


def _unpickled(source: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; nothing that the reader of a file can act on
            return torch.load(source, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise FileError(f"{source}: {_complaint(error)}") from error


def _complaint(error: BaseException) -> str:
    code = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))
    if code:
        return (
            f"holds more than weights ({code[1][:80]!r}), which could run code, so nothing in it was run; "
            "save the weights alone: torch.save(model.state_dict(), …), or as safetensors."
        )
    return "damaged, or not what torch.save writes (nothing in it was run); copy or download it again."


def _state_dict(content: Any, source: Path) -> dict[str, Tensor]:
    for _ in range(_DEEPEST):
        nested = [
            content[key] for key in _NESTED if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)
        ]
        if nested:
            content = nested[0]
    if not isinstance(content, Mapping) or not content:
        raise FileError(f"{source}: holds {_described(content)}, no weights; save model.state_dict() instead.")
    odd = [key for key, value in content.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if odd:
        names = ", ".join(repr(key)[:60] for key in odd[:3])
        count = f"{len(odd)} of {len(content)} entries"
        raise FileError(f"{source}: {count} are no named tensors ({names}); save model.state_dict() instead.")
    return _kept_versions(content)


def _kept_versions(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A plain dict that keeps the versions of modules which PyTorch stores beside the weights."""
    state: OrderedDict[str, Tensor] = OrderedDict(content)
    versions = getattr(content, "_metadata", None)
    if isinstance(versions, Mapping):
        state._metadata = versions  # type: ignore[attr-defined]
    return state


def _described(content: Any) -> str:
    return f"an empty {type(content).__name__}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
