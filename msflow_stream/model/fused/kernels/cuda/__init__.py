"""The operations as Triton kernels: one launcher per operation, by its name."""

from __future__ import annotations

import torch

from msflow_stream.model.fused.kernels.cuda.flow import couple_, gather, log_likelihood, norm_relu_
from msflow_stream.model.fused.kernels.cuda.fusion import add_crossed_, pool_
from msflow_stream.model.fused.kernels.cuda.images import finish

__all__ = ["add_crossed_", "couple_", "finish", "gather", "log_likelihood", "norm_relu_", "pool_", "probe"]


def probe() -> None:
    """Compiles and runs a kernel on the GPU in use; raises whatever is in the way."""
    columns = torch.zeros(1, dtype=torch.int32, device="cuda")
    gather(torch.zeros(1, 1, device="cuda"), columns, None, torch.float32)
