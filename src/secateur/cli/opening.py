"""The network and the data that a command is given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from secateur import data, sources, storage, tensorfile
from secateur.cli.images import check_images_fit
from secateur.cli.options import TRAINED, TUNED, Given
from secateur.cli.screen import Bars
from secateur.cli.texts import check_texts_fit
from secateur.composing import compose
from secateur.data import Data
from secateur.errors import SettingsError
from secateur.plan import Plan
from secateur.task import Task

NO_DATA = Data(Task.classification(), "example input", None, None, None)
_IN_FOLDER = "transformers."  # what the weights in a folder of Hugging Face say of their model


@dataclass(frozen=True)
class Network:
    """A model, the address that builds its original, and what was cut from it already.

    `has_weights` is false where they are random because nobody gave any, `has_new_head` true where only the head's are.
    """

    model: nn.Module
    builder: str
    plan: Plan | None
    has_weights: bool
    has_new_head: bool = False

    def changed(self, model: nn.Module, plan: Plan | None = None) -> "Network":
        """The network with another model, after a further plan."""
        together = self.plan if plan is None else plan if self.plan is None else compose(self.plan, plan)
        return replace(self, model=model, plan=together, has_weights=True, has_new_head=False)

    def on(self, device: torch.device | None) -> "Network":
        """The network with its model moved to a device; None: where it is."""
        return self if device is None else replace(self, model=self.model.to(device))

    def warn(self, bars: Bars) -> None:
        """Say where weights are random."""
        if not self.has_weights:
            bars.say("note: no --weights are given, so the network's weights are random.")
        if self.has_new_head:
            bars.say(f"note: {self.new_head}.")

    @property
    def new_head(self) -> str:
        """What to say of a new head."""
        return f"the weights have no head for these data, so that of {type(self.model).__name__} is new and random"

    @property
    def usual_epochs(self) -> int:
        """How long it is trained where nothing is said."""
        if not self.has_weights:
            return TRAINED
        return TUNED if self.has_new_head else 0

    def save(self, path: Path) -> None:
        """Write the network as one file; see `storage.save`."""
        storage.save(self.model, path, plan=self.plan, builder=self.builder)


def opened(given: Given) -> tuple[Network, Data]:
    """The network and the data of the options that every command has.

    Raises:
        CompressionError: one of them cannot be read, they do not fit, or no data are given.
    """
    if given.data is None:
        raise SettingsError("no data are given, and this command needs some; give --data (secateur COMMAND --help).")
    table = data.load(given.data, seed=given.seed, batch_size=given.batch_size, tokenizer=hub_name(given))
    return network(given, table, given.weights), table


def examined(given: Given) -> tuple[Network, Data]:
    """The network, and the data, or where none are given the example input that the network's source knows.

    Raises:
        CompressionError: one of them cannot be read, or the source knows no example.
    """
    if given.data is not None:
        return opened(given)
    found = network(given, NO_DATA, given.weights)
    example = sources.example(found.builder, found.model)
    if example is None:
        raise SettingsError(f"{found.builder}: what it takes is not known without data; give --data.")
    return found, replace(NO_DATA, task=Task.classification(calibration=[example]))


def hub_name(given: Given) -> str | None:
    """The folder or the name of the model of transformers that is given, if it is one."""
    if given.model is None and given.weights is None:
        return None
    return sources.hub_name(_address(given.model, given.weights, {}))


def network(given: Given, table: Data, weights: Path | None) -> Network:
    """The model with the weights of a file, or as it is built.

    Raises:
        CompressionError: it cannot be built, or the weights do not fit it.
    """
    address = _address(given.model, weights, table.shape)
    found = _read(address, given.seed, table.shape, weights)
    if table.image_shape is not None:
        check_images_fit(found.model, address, table)
    if table.vocabulary is not None:
        check_texts_fit(found.model, address, table)
    return found


def _read(address: str, seed: int, shape: Mapping[str, int | None], weights: Path | None) -> Network:
    if weights is None:
        model = sources.build(address, seed, shape)
        plan, is_trained = sources.cut_already(address), sources.comes_trained(address)
        return Network(model, address, plan, has_weights=is_trained, has_new_head=sources.has_new_head(address))

    def build() -> nn.Module:
        return sources.original(address, seed, shape)

    if _is_ours(weights):
        return Network(storage.load(weights, build=build), address, storage.read_plan(weights), has_weights=True)
    return Network(storage.load_weights(build(), weights), address, None, has_weights=True)


def _address(model: str | None, weights: Path | None, shape: Mapping[str, int | None]) -> str:
    """The model's address; from the weights' file only where building that model runs no code of a file."""
    if model is not None:
        return sources.filled_in(model, shape)
    if weights is None:
        raise SettingsError("no model is given; give --model, or --weights with a file that names a model of the zoo.")
    builder = storage.read_builder(weights) if _is_ours(weights) else None
    if builder is None:
        raise SettingsError(f"{weights}: does not say what model it is of; give --model.")
    if builder.startswith(_IN_FOLDER):
        return f"hf:{weights.parent}"
    if sources.runs_code(builder):
        raise SettingsError(
            f"{weights}: is of {builder!r}, a function whose code would be run; give --model {builder}."
        )
    return builder


def _is_ours(weights: Path) -> bool:
    return weights.suffix.lower() == ".safetensors" and tensorfile.read_note(weights) is not None
