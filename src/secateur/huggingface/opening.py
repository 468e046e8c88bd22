"""Plain models of transformers, from a folder or from the hub by way of its cache."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.errors import FileError, ModelError
from secateur.huggingface.classes import MISFITS, class_named, package, unfilled
from secateur.programs import quiet, reason_of

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def opened(name: str, kind: str | None = None) -> nn.Module:
    """The model in a folder, or of this name on the hub, in eval mode; `HF_HUB_OFFLINE=1` keeps it off the network.

    Its class is `kind`, else the one that its config names. Weights are read from safetensors, and all must be there.

    Raises:
        FileError: it cannot be found or read, has no safetensors, or names a class that transformers does not export.
        ModelError: transformers is not installed, or weights are missing.
    """
    config = _config(name)
    found = class_named(_class_name(config, kind, name), name)
    try:
        with quiet():
            model, about = found.from_pretrained(
                name, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except MISFITS as error:
        raise FileError(f"hf:{name}: {reason_of(error)}") from error
    missing = sorted(about["missing_keys"])
    if missing:
        shown = f"{len(missing)} weights of {found.__name__} are missing ({missing[0]}, …)"
        raise ModelError(f"hf:{name}: {shown}; name the class that was trained, as in hf:{name}?class=…")
    return model.eval()


def built(name: str, kind: str | None = None, *, seed: int | None = None) -> nn.Module:
    """The model that a config describes: random weights from a seed, or parameters without values where it is None.

    Raises:
        FileError: the config cannot be found or read, or names a class that transformers does not export.
        ModelError: transformers is not installed.
    """
    config = _config(name)
    found = class_named(_class_name(config, kind, name), name)
    try:
        if seed is None:
            return unfilled(found, config)
        with torch.random.fork_rng(), quiet():
            torch.manual_seed(seed)
            return found(config).eval()
    except MISFITS as error:
        raise FileError(f"hf:{name}: {found.__name__} cannot be built: {reason_of(error)}") from error


def has_weights(name: str) -> bool:
    """Whether a model comes with weights: a folder may hold a config alone.

    Raises:
        FileError: a folder holds pickles only, which are not read.
    """
    folder = Path(name)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return True
    pickles = sorted(file.name for kind in _PICKLED for file in folder.glob(kind))
    if pickles:
        raise FileError(
            f"hf:{name}: its weights are no safetensors ({pickles[0]}); save them anew with transformers, or give "
            "--weights with a file of PyTorch's that ends in .pt."
        )
    return False


def _config(name: str) -> Any:
    transformers = package()
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except MISFITS as error:
        what = "its config cannot be read" if Path(name).is_dir() else "no such folder, and not to be had from the hub"
        raise FileError(f"hf:{name}: {what}: {reason_of(error)}") from error


def _class_name(config: Any, kind: str | None, name: str) -> str:
    named = kind or next(iter(config.architectures or ()), None)
    if named is None:
        raise FileError(f"hf:{name}: its config names no architecture; give a class, as in hf:{name}?class=BertModel.")
    return str(named)
