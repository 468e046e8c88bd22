"""Heads for whole texts: which models of transformers lack one, and which class has it."""

from typing import Any

from torch import nn

from secateur.errors import ModelError
from secateur.huggingface.classes import config_of_name, package, weights_in

_OF_TEXTS = "ForSequenceClassification"


def head_for(name: str, kind: str | None, outputs: int) -> dict[str, str]:
    """The options with which a model puts out so many numbers for a text; none where it does as it is.

    A trained head with another number of outputs is left alone, and so is a class that was named.
    """
    config = config_of_name(name)
    if kind is None and not _own(config).endswith(_OF_TEXTS):
        return {"class": _classifier(config, name), "outputs": str(outputs)}
    if config.num_labels != outputs and not weights_in(name):
        return {"outputs": str(outputs)}
    return {}


def is_new_head(name: str, kind: str | None, outputs: int | None) -> bool:
    """Whether weights are there, but not those of the head that is asked for."""
    if outputs is None or not weights_in(name):
        return False
    config = config_of_name(name)
    return config.num_labels != outputs or (kind is not None and kind != _own(config))


def of_head(model: nn.Module, name: str) -> bool:
    """Whether a weight is of what comes behind the layers, a pooler included."""
    if not model.base_model_prefix:
        return False  # all weights are on one level
    prefix = f"{model.base_model_prefix}."
    return not name.startswith(prefix) or name.startswith(f"{prefix}pooler.")


def known_tokens(model: nn.Module) -> int | None:
    """How many different tokens a model of transformers knows; None for other models."""
    if not isinstance(model, package().PreTrainedModel):
        return None
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:  # how transformers says that a model, of images say, has none
        return None
    return int(table.num_embeddings) if isinstance(table, nn.Embedding) else None


def class_names(model: nn.Module) -> tuple[str, ...]:
    """What a model of transformers calls its outputs; nothing for other models."""
    if not isinstance(model, package().PreTrainedModel):
        return ()
    names = model.config.id2label
    return tuple(str(names.get(number, number)) for number in range(len(names)))


def _own(config: Any) -> str:
    return str(next(iter(config.architectures or ()), ""))


def _classifier(config: Any, name: str) -> str:
    known = package().MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if type(config) not in known:
        found = f"transformers has no model of type {config.model_type} with a head for whole texts"
        raise ModelError(f"hf:{name}: {found}; name a class, as in hf:{name}?class=…, or give another model.")
    return str(known[type(config)].__name__)
