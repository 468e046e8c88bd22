"""Layers exchanged: what takes the place of activations and stretches, and how a plan says so."""

from secateur.depth.affine import Affine
from secateur.depth.changing import change_
from secateur.depth.first import First
from secateur.depth.ones import Ones
from secateur.depth.parts import KINDS, built, has_weights, part_of

__all__ = ["KINDS", "Affine", "First", "Ones", "built", "change_", "has_weights", "part_of"]
