"""The operations as Triton kernels: one launcher per operation, by its name."""

from __future__ import annotations

import torch

from msflow_stream.model.fused.kernels.cuda.flow import couple_, gather, log_likelihood, norm_relu_
from msflow_stream.model.fused.kernels.cuda.fusion import add_crossed_, pool_
from msflow_stream.model.fused.kernels.cuda.images import finish

__all__ = ["add_crossed_", "couple_", "finish", "gather", "log_likelihood", "norm_relu_", "pool_", "probe"]


def probe(device: torch.device) -> None:
    """Compiles a kernel and runs it on a GPU; raises whatever is in the way."""
    columns = torch.zeros(1, dtype=torch.int32, device=device)
    gather(torch.zeros(1, 1, device=device), columns, None, torch.float32)
