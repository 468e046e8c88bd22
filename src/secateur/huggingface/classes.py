"""The classes that the transformers package itself exports; code from elsewhere is never run."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import init_empty_weights
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from secateur.errors import FileError, ModelError
from secateur.programs import quiet, reason_of

# what transformers raises for a config whose values do not go together
MISFITS = (
    AttributeError, ImportError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    StrictDataclassError, ZeroDivisionError,
)  # fmt: skip
_PACKAGE = "transformers"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_READABLE = "pytorch_model.bin"


def package() -> ModuleType:
    """The transformers package.

    Raises:
        ModelError: it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise ModelError(
            "models of Hugging Face need transformers, which is not installed: pip install 'secateur[text]'."
        ) from error


def class_named(name: str, place: str) -> Any:
    """The model class of this name that transformers exports.

    Raises:
        FileError: it exports no such model class; `place` says where the name was found.
    """
    try:
        with quiet():
            found = getattr(package(), name, None)
    except MISFITS as error:
        raise FileError(f"{place}: {name} cannot be imported: {reason_of(error)}; install what it needs.") from error
    if not is_exported(found):
        raise FileError(
            f"{place}: {name!r} is no model class of transformers {package().__version__}; install a version that has "
            "it (code that comes with a model is never run)."
        )
    return found


def is_exported(found: object) -> bool:
    """Whether this is a model class that transformers exports under its own name."""
    if not isinstance(found, type) or not issubclass(found, package().PreTrainedModel):
        return False
    return found.__module__.startswith(f"{_PACKAGE}.") and getattr(package(), found.__name__, None) is found


def unfilled(kind: Any, config: Any) -> nn.Module:
    """A model of a class whose parameters are on the meta device and whose buffers have their values.

    Raises:
        Several of `MISFITS`: the config's values do not go together.
    """
    with torch.random.fork_rng(devices=()), init_empty_weights(include_buffers=False), quiet():
        model: nn.Module = kind(config)
        model.tie_weights()  # type: ignore[operator]  # tensors on the meta device were replaced one by one
    return model


def config_of(kind: Any, data: Mapping[str, Any]) -> Any:
    """A config of the class that a model class wants.

    Raises:
        Several of `MISFITS`: the values do not go together.
    """
    with quiet():
        return kind.config_class.from_dict(dict(data))


def config_of_name(name: str, outputs: int | None = None) -> Any:
    """The config in a folder, or of this name on the hub; with so many outputs, where that is not None.

    Raises:
        FileError: it cannot be found or read.
        ModelError: transformers is not installed.
    """
    transformers = package()
    said = {} if outputs is None else {"num_labels": outputs}
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **said)
    except MISFITS as error:
        what = "its config cannot be read" if Path(name).is_dir() else "no such folder, and not to be had from the hub"
        raise FileError(f"hf:{name}: {what}: {reason_of(error)}") from error


def weights_in(name: str) -> bool:
    """Whether a model comes with weights: a folder may hold a config alone.

    Raises:
        FileError: a folder holds only pickles of which transformers reads none.
    """
    folder = Path(name)
    if not folder.is_dir() or any(folder.glob("*.safetensors")) or is_pickled(name):
        return True
    pickles = sorted(file.name for kind in _PICKLED for file in folder.glob(kind))
    if pickles:
        raise FileError(
            f"hf:{name}: its weights are no safetensors ({pickles[0]}); save them anew with transformers, or give "
            "--weights with a file of PyTorch's that ends in .pt."
        )
    return False


def is_pickled(name: str) -> bool:
    """Whether a folder has its weights in a pickle only, of which nothing but tensors is read."""
    folder = Path(name)
    return folder.is_dir() and not any(folder.glob("*.safetensors")) and any(folder.glob(f"{_READABLE}*"))
