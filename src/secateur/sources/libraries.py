"""Models of torchvision and timm by name: built, and what images they take."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import ModelError, SettingsError, UnknownNameError
from secateur.programs import quiet, reason_of

Library = Literal["torchvision", "timm"]
Images = Float[Tensor, "2 channels height width"]

ROWS, CHANNELS, SIZE = 2, 3, 224
_SIZES = {"inception_v3": 299}  # of those that torchvision made for other images
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None}
_REFUSALS = (AssertionError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def build(library: Library, name: str, options: Mapping[str, str]) -> nn.Module:
    """A model of a library, in eval mode; trained where options ask for it (`weights=DEFAULT`, `pretrained=true`).

    Raises:
        ModelError: the library is not installed, or cannot build the model.
        UnknownNameError: it has no such model.
        SettingsError: an option is not one of the model's.
    """
    given = _values(options)
    match library:
        case "torchvision":
            models = _package("torchvision.models")
            names, make = models.list_models(), partial(models.get_model, name, **{"weights": None, **given})
            is_known = name in names
        case "timm":
            timm = _package("timm")
            names, make = timm.list_models(), partial(timm.create_model, name, **given)
            is_known = timm.is_model(name)
    if not is_known:
        raise UnknownNameError(f"model of {library}", name, names)
    return _built(f"{library}:{name}", make)


def example(library: Library, name: str, options: Mapping[str, str], model: nn.Module) -> Images:
    """Two images of noise, of the size that the model was made for."""
    given = _values(options)
    if library == "torchvision":
        side = _torchvision_size(name, given)
        return _noise(CHANNELS, side, side)
    channels, height, width = _package("timm.data").resolve_model_data_config(model)["input_size"]
    size: int | None = given.get("img_size")
    return _noise(given.get("in_chans", channels), size or height, size or width)


def comes_trained(options: Mapping[str, str]) -> bool:
    """Whether options ask for weights that were trained."""
    given = _values(options)
    return given.get("weights") is not None or bool(given.get("pretrained", False))


def _torchvision_size(name: str, given: Mapping[str, Any]) -> int:
    """The height and width of images for a model of torchvision: as an option says, else of its weights' training."""
    models, weights = _package("torchvision.models"), given.get("weights")
    if "image_size" in given:
        return int(given["image_size"])
    if weights is None:
        return _SIZES.get(name, SIZE)
    chosen = models.get_weight(weights) if "." in weights else models.get_model_weights(name)[weights]
    return int(chosen.transforms().crop_size[0])


def _noise(channels: int, height: int, width: int) -> Images:
    return torch.randn(ROWS, channels, height, width, generator=torch.Generator().manual_seed(0), device="cpu")


def _package(name: str) -> ModuleType:
    try:
        with quiet():
            return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision made for another torch fails in its own ways
        library = name.partition(".")[0]
        raise ModelError(
            f"{library}: cannot be imported: {reason_of(error)}; pip install 'secateur[vision]', with the torch that "
            "it was made for."
        ) from error


def _values(options: Mapping[str, str]) -> dict[str, Any]:
    """Options as numbers, truth values, None or text."""
    return {option: _value(text) for option, text in options.items()}


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _built(place: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        with quiet():
            model = make()
    except TypeError as error:  # an option that the model's function does not have
        raise SettingsError(f"{place}: {reason_of(error)}; see the library's page on this model.") from error
    except _REFUSALS as error:
        raise ModelError(f"{place}: cannot be built: {reason_of(error)}") from error
    return model.eval()
