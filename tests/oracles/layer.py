"""What the papers' equations are about: one layer of the usual network, what it puts out and what becomes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A linear layer, its norm, an activation, and the layer that reads it.

    Activations and `gradients`, of each example's own loss in them, are [rows, units], `incoming` is [units, inputs],
    `outgoing` [outputs, units], `scale` the norm's [units].
    """

    activations: Array
    gradients: Array
    incoming: Array
    outgoing: Array
    scale: Array
