"""Layers exchanged: what takes the place of activations and stretches, and how a plan says so."""

from secateur.depth.affine import Affine
from secateur.depth.changing import change_
from secateur.depth.first import First
from secateur.depth.linear import linear_at
from secateur.depth.ones import Ones
from secateur.depth.parts import KINDS, built, has_weights, part_of
from secateur.depth.untying import changes_for

__all__ = ["KINDS", "Affine", "First", "Ones", "built", "change_", "changes_for", "has_weights", "linear_at", "part_of"]
