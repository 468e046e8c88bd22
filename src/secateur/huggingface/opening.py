"""Plain models of transformers, from a folder or from the hub by way of its cache."""

from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from secateur.errors import FileError, ModelError
from secateur.huggingface.classes import MISFITS, class_named, config_of_name, is_pickled, unfilled
from secateur.huggingface.heads import of_head
from secateur.programs import quiet, reason_of


def opened(name: str, kind: str | None = None, outputs: int | None = None) -> nn.Module:
    """The model in a folder, or of this name on the hub, in eval mode; `HF_HUB_OFFLINE=1` keeps it off the network.

    Its class is `kind`, else the one that its config names. Weights are read from safetensors, or where there are none
    from what is read without running code. All must be there, but for those of the head where `outputs` asks for a new
    one, which are then random.

    Raises:
        FileError: it cannot be found or read, or names a class that transformers does not export.
        ModelError: transformers is not installed, or weights are missing.
    """
    config = config_of_name(name, outputs)
    found = class_named(_class_name(config, kind, name), name)
    try:
        with quiet():
            model, about = found.from_pretrained(
                name,
                config=config,
                use_safetensors=not is_pickled(name),
                weights_only=True,
                ignore_mismatched_sizes=outputs is not None,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except UnpicklingError as error:
        raise FileError(
            f"hf:{name}: its pytorch_model.bin is damaged, or holds more than tensors, which could run code; save it "
            "anew as safetensors where it comes from."
        ) from error
    except MISFITS as error:
        raise FileError(f"hf:{name}: {reason_of(error)}") from error
    odd = sorted({*about["missing_keys"], *(key for key, *_ in about["mismatched_keys"])})
    missing = odd if outputs is None else [key for key in odd if not of_head(model, key)]
    if missing:
        shown = f"{len(missing)} weights of {found.__name__} are missing ({missing[0]}, …)"
        raise ModelError(f"hf:{name}: {shown}; name the class that was trained, as in hf:{name}?class=…")
    return model.eval()


def built(name: str, kind: str | None = None, outputs: int | None = None, *, seed: int | None = None) -> nn.Module:
    """The model that a config describes: random weights from a seed, or parameters without values where it is None.

    `outputs` is how many numbers its head puts out, where that is not as the config says.

    Raises:
        FileError: the config cannot be found or read, or names a class that transformers does not export.
        ModelError: transformers is not installed.
    """
    config = config_of_name(name, outputs)
    found = class_named(_class_name(config, kind, name), name)
    try:
        if seed is None:
            return unfilled(found, config)
        with torch.random.fork_rng(), quiet():
            torch.manual_seed(seed)
            return found(config).eval()
    except MISFITS as error:
        raise FileError(f"hf:{name}: {found.__name__} cannot be built: {reason_of(error)}") from error


def _class_name(config: Any, kind: str | None, name: str) -> str:
    named = kind or next(iter(config.architectures or ()), None)
    if named is None:
        raise FileError(f"hf:{name}: its config names no architecture; give a class, as in hf:{name}?class=BertModel.")
    return str(named)
