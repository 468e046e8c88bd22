"""How long networks take that were never timed, from a table of operators measured once on a device."""

from secateur.timing.clock import Clock, clock_for

__all__ = ["Clock", "clock_for"]
