"""What a network costs and how well it does: parameters, multiply-adds, bytes, milliseconds, quality."""

from secateur.measurement.figures import measure, size_bytes
from secateur.measurement.latency import compare_latency, measure_latency
from secateur.measurement.runtime import measure_onnx_latency

__all__ = ["compare_latency", "measure", "measure_latency", "measure_onnx_latency", "size_bytes"]
