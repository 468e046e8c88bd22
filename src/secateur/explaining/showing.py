"""Examples as they are shown: texts, pictures and rows, from a batch or from where the data came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from secateur.data import Data
from secateur.data.encoding import Encoding
from secateur.data.images.loader import ImageBatches
from secateur.data.texts.loader import TextBatches
from secateur.errors import DataError
from secateur.explanation import Content, Example, Picture, Row, Text
from secateur.task import Batch, arguments_of

Show = Callable[[Batch, int, int], Example]
"""Makes an example of a batch, its row there, and its number in the data."""

COLOURS = (1, 3)
_INPUTS = "input_ids"


def as_given(batch: Batch, row: int, _: int) -> Example:
    """An example as the network gets it: a picture, a row of numbers, or the numbers of tokens."""
    return Example(_as_given(batch, row), Labels().of(batch, row))


def of(data: Data) -> Show:
    """What shows the examples of loaded data as they are in its files, with the names of their classes."""
    labels = Labels(data.class_names, data.target_mean, data.target_std)
    match data.task.calibration:
        case TextBatches(shuffle=False) as texts:
            return lambda batch, row, number: Example(_text(texts, number), labels.of(batch, row))
        case ImageBatches(augmentation=None) as images:
            return lambda batch, row, number: Example(_picture(images, number), labels.of(batch, row))
    encoding = data.encoding
    if encoding is not None:
        return lambda batch, row, _: Example(_row(encoding, batch, row), labels.of(batch, row))
    return lambda batch, row, _: Example(_as_given(batch, row), labels.of(batch, row))


def decoded(tokenizer: Any) -> Show:
    """What shows tokens as the text that a tokenizer of transformers made them of."""

    def show(batch: Batch, row: int, _: int) -> Example:
        text = tokenizer.decode(batch[_INPUTS][row].tolist(), skip_special_tokens=True)
        return Example(Text((text,)), Labels().of(batch, row))

    return show


@dataclass(frozen=True)
class Labels:
    """The names of classes, and what leads a target back to its own units."""

    names: Sequence[str] = ()
    mean: float = 0.0
    std: float = 1.0

    def of(self, batch: Batch, row: int) -> str | None:
        """The class or the target of an example; None where it has none, or more than one."""
        target = _targets(batch)
        if not isinstance(target, Tensor) or target.dim() != 1 or row >= len(target):
            return None
        value = target[row].item()
        if isinstance(value, float):
            return f"{value * self.std + self.mean:.4g}"
        return self.names[value] if 0 <= value < len(self.names) else str(value)


def _targets(batch: Batch) -> Any:
    match batch:
        case Mapping():
            return batch.get("labels", batch.get("label"))
        case Sequence() if len(batch) > 1:
            return batch[-1]
    return None


def _text(texts: TextBatches, number: int) -> Text:
    return Text(tuple(column[texts.rows[number]] for column in texts.texts.columns))


def _picture(images: ImageBatches, number: int) -> Picture:
    return Picture(images.pixels[images.rows[number]].numpy())


def _row(encoding: Encoding, batch: Batch, row: int) -> Row:
    return Row(encoding.decode(batch[0][row].cpu().numpy()))


def _as_given(batch: Batch, row: int) -> Content:
    args, kwargs = arguments_of(batch)
    inputs = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.dim()), None)
    if inputs is None:
        raise DataError(f"a batch of type {type(batch).__name__} has no tensor to show; give explain a show= of yours.")
    if _INPUTS in kwargs:
        return Text((" ".join(map(str, _tokens(kwargs, row))),))
    return _shown(inputs[row].detach().cpu())


def _tokens(given: Mapping[str, Any], row: int) -> list[int]:
    tokens, mask = given[_INPUTS][row], given.get("attention_mask")
    return tokens[mask[row] != 0].tolist() if isinstance(mask, Tensor) and mask.dim() == 2 else tokens.tolist()


def _shown(value: Shaped[Tensor, "..."]) -> Content:
    match value.shape:
        case (channels, _, _) if channels in COLOURS:
            return Picture(_stretched(value.double().permute(1, 2, 0)))
        case (_, _):
            return Picture(_stretched(value.double()[..., None]))
        case (_,) if not value.is_floating_point():
            return Text((" ".join(map(str, value.tolist())),))
    numbers = value.flatten().double().tolist()
    return Row(tuple((f"x{place}", float(f"{number:.6g}")) for place, number in enumerate(numbers)))


def _stretched(image: Float[Tensor, "height width channels"]) -> Any:
    """Bytes, black where the image is lowest and white where it is highest."""
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low if high > low else 1.0) * 255.0
    return scaled.round().to(torch.uint8).numpy()
