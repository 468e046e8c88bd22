"""Example inputs for models of transformers, from what their classes and configs say."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secateur.errors import ModelError

ROWS, TOKENS = 2, 16
_SIZE, _CHANNELS = 224, 3  # of images, where the config does not say


def example_of(model: nn.Module, *, seed: int = 0) -> dict[str, Any]:
    """Random inputs for a model of transformers by name: two texts of 16 tokens, or two images.

    Raises:
        ModelError: the model takes something else.
    """
    takes = inspect.signature(model.forward).parameters
    main, config = str(model.main_input_name), model.config.to_dict()  # type: ignore[operator, union-attr]
    generator = torch.Generator().manual_seed(seed)
    match main:
        case "input_ids":
            inputs = _texts(model, takes, generator)
        case "pixel_values":
            shape = ROWS, int(config.get("num_channels", _CHANNELS)), *_image_size(config)
            inputs = {main: torch.randn(shape, generator=generator).to(model.dtype)}  # type: ignore[arg-type]
        case _:
            raise ModelError(f"{type(model).__name__}: takes {main}, for which no example is known; give --data.")
    return inputs | ({"use_cache": False} if "use_cache" in takes else {})


def _texts(model: nn.Module, takes: Mapping[str, Any], generator: torch.Generator) -> dict[str, Any]:
    """Tokens, none of which is padding, and a mask that leaves them all visible."""
    config = model.config.get_text_config()  # type: ignore[operator, union-attr]
    said = config.to_dict()
    tokens = min(TOKENS, int(said.get("max_position_embeddings") or TOKENS))

    def ids() -> Tensor:
        drawn = torch.randint(0, config.vocab_size, (ROWS, tokens), generator=generator)
        padding = said.get("pad_token_id")
        return drawn if padding is None else torch.where(drawn == padding, (padding + 1) % config.vocab_size, drawn)

    inputs = {"input_ids": ids()}
    if "attention_mask" in takes:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "decoder_input_ids" in takes and said.get("is_encoder_decoder"):
        inputs["decoder_input_ids"] = ids()
    return inputs


def _image_size(config: Mapping[str, Any]) -> tuple[int, int]:
    match config.get("image_size"):
        case int(size):
            return size, size
        case [int(height), int(width)]:
            return height, width
    return _SIZE, _SIZE
