"""Cutting in the middle of a training: optimizers, schedules and averaged weights that follow the surviving slices."""

from secateur.continuity.averages import remap_average
from secateur.continuity.optimizers import remap_optimizer
from secateur.continuity.schedules import remap_scheduler

__all__ = ["remap_average", "remap_optimizer", "remap_scheduler"]
