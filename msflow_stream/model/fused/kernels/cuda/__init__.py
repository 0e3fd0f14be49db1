"""The operations as Triton kernels: one launcher per operation, by its name."""

from __future__ import annotations

from msflow_stream.model.fused.kernels.cuda.flow import couple_, gather, log_likelihood, norm_relu_
from msflow_stream.model.fused.kernels.cuda.fusion import add_crossed_, pool_
from msflow_stream.model.fused.kernels.cuda.images import finish

__all__ = ["add_crossed_", "couple_", "finish", "gather", "log_likelihood", "norm_relu_", "pool_"]
