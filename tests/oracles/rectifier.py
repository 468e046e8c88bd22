"""What the papers' equations of layers are about: one activation of the usual network, and what leads to it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Replaceable:
    """Layers that one operator could stand for: what goes in, what comes out, and the output that follows from it."""

    read: Array
    gave: Array
    rest: Callable[[Array], Array]


@dataclass(frozen=True)
class Rectifier:
    """An activation, what it reads and gives on batches of data, and the layer and norm before it.

    `batches` are pre-activations, [rows, units] each, the positions of a map being rows. `incoming` holds the weights
    of all layers that lead to it [units, inputs]. `scale` and `shift` are those of the batch-norm that feeds it, None
    where none does. `block` is what goes into the residual block around it and what comes out, None where there is
    none. It is activation `number` of the network, in `stretch` of its `stretches`, or in none.
    """

    number: int

    batches: tuple[Array, ...]
    after: tuple[Array, ...]
    incoming: Array
    scale: Array | None
    shift: Array | None
    block: tuple[Array, Array] | None
    stretches: tuple[Replaceable, ...] = ()
    stretch: int | None = None

    @property
    def pre(self) -> Array:
        """All rows."""
        return np.concatenate(self.batches)
