"""What a traced model costs for one example: multiply-adds by operator, and memory for activations."""

from secateur.counting.totals import Count, count, macs_by_node

__all__ = ["Count", "count", "macs_by_node"]
