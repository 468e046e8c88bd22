"""Texts that a network cannot take are refused before anything long begins."""

from torch import nn

from secateur import huggingface
from secateur.data import Data
from secateur.errors import DataError, first_line
from secateur.inference import evaluating
from secateur.task import scores_of

_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)  # what modules raise on tokens that they do not know


def check_texts_fit(model: nn.Module, address: str, data: Data) -> None:
    """Run the network on two texts.

    Raises:
        DataError: its tokens are others than the tokenizer's, it does not take them, or its outputs are not the labels.
    """
    _check_vocabulary(model, address, data)
    try:
        with evaluating(model) as predict:
            scores = scores_of(predict(data.task.example()))
    except _REFUSALS as error:
        found = f"{data.name}: {address} does not take its tokens ({first_line(error)})"
        raise DataError(f"{found}; give the model's own tokenizer, and max_length= if texts are too long.") from error
    if data.outputs is not None:
        _check_outputs(tuple(scores.shape[1:]), model, address, data)


def _check_vocabulary(model: nn.Module, address: str, data: Data) -> None:
    known, wanted = huggingface.known_tokens(model), data.vocabulary or 0
    if known is not None and known < wanted:
        found = f"{data.name}: its tokenizer has numbers up to {wanted - 1:,}, but {address} knows {known:,} tokens"
        raise DataError(f"{found}; give the model's own tokenizer, as in ?tokenizer=DIR.")


def _check_outputs(shape: tuple[int, ...], model: nn.Module, address: str, data: Data) -> None:
    if shape != (data.outputs,):
        wanted = f"{data.outputs} classes" if data.class_names else "a number for each text"
        found = f"{data.name}: has {wanted}, but {address} gives outputs of shape {list(shape)} for each"
        place = address.partition("?")[0]
        raise DataError(f"{found}; write {place}?outputs={data.outputs} for a new head, or give another network.")
    names = tuple(name.lower() for name in huggingface.class_names(model))
    if names != data.class_names and sorted(names) == sorted(data.class_names):
        found = f"{data.name}: its classes are {', '.join(data.class_names)} in this order, those of {address}"
        raise DataError(f"{found} {', '.join(names)}; put its outputs in the same order.")
