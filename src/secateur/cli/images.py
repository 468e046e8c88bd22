"""Images that a network cannot take are refused before anything long begins."""

from torch import nn

from secateur.data import Data
from secateur.errors import DataError, first_line
from secateur.inference import evaluating
from secateur.task import scores_of

_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)  # what modules raise on inputs of another shape
_VIEW = "view size is not compatible"


def check_images_fit(model: nn.Module, address: str, data: Data) -> None:
    """Run the network on two images.

    Raises:
        DataError: it does not take them, or tells fewer classes apart than they have.
    """
    assert data.image_shape is not None
    channels, height, width = data.image_shape
    found = f"{data.name}: {address} does not take images of {channels} channel(s) and {height}x{width} pixels"
    try:
        with evaluating(model) as predict:
            scores = scores_of(predict(data.task.example()))
    except _REFUSALS as error:
        raise DataError(f"{found} ({first_line(error)}); {_remedy(model, channels, str(error))}.") from error
    if data.outputs is not None and scores.shape[-1] < data.outputs:
        wanted = f"{data.outputs} classes (0 to {data.outputs - 1}), but {address} gives {scores.shape[-1]} scores"
        raise DataError(f"{data.name}: has {wanted}; give a network with an output for each class.")


def _remedy(model: nn.Module, channels: int, reason: str) -> str:
    """What to write in the data's address, as far as the network shows it."""
    if _VIEW in reason:
        return "write ?channels_last=0 behind the folder of --data, or reshape instead of view in the network"
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    wanted = channels if first is None else first.in_channels
    if wanted != channels and wanted in (1, 3):
        how = "repeats grey for each colour" if wanted > channels else "makes them grey"
        return f"write ?channels={wanted} behind the folder of --data, which {how}, or give a network for them"
    return "resize them (images:DIR?size=PIXELS), or give a network for such images"
