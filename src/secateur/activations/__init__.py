"""Every call of a rectifier between linear operations: what methods of layers score, and what can be made linear."""

from secateur.activations.calls import Call, calls_in
from secateur.activations.eligible import activations_in, find_activations, layers_in

__all__ = ["Call", "activations_in", "calls_in", "find_activations", "layers_in"]
