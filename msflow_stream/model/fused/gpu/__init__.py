"""A scene's networks for a GPU: weights converted once, few passes over memory beside the convolutions."""

from __future__ import annotations

from msflow_stream.model.fused.gpu.flow import GpuFlow
from msflow_stream.model.fused.gpu.pyramid import GpuPyramid

__all__ = ["GpuFlow", "GpuPyramid"]
