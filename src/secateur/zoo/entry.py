"""What the zoo knows of a name: a row of the table in the file of its family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Settings(Protocol):
    """How a network is built: a frozen dataclass whose fields are the options, and which checks them."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of the network's input."""


@dataclass(frozen=True)
class Entry:
    """One name: the class of its settings, what builds a network from them, and the settings that the name fixes.

    `forms` are the data sets whose images it can be built for; a network for tables has none.
    """

    settings: type[Any]  # of Settings
    build: Callable[[Any], nn.Module]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
