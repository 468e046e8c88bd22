"""A module of its own for every call of a rectifier in one module's forward."""

from torch import nn

from secateur.errors import ModelError
from secateur.plan import Untie


def untie_(model: nn.Module, change: Untie) -> None:
    """Give every call of a rectifier in a module's own forward a module of its own, in place.

    Raises:
        ModelError: the forward cannot be followed.
    """
    raise ModelError(f"{change.owner or type(model).__name__}: calls cannot be told apart yet.")
