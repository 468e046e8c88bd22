"""The classes that the transformers package itself exports; code from elsewhere is never run."""

import importlib
from collections.abc import Mapping
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
