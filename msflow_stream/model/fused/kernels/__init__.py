"""Operations beside the convolutions, each one pass over its tensors: plain PyTorch on a CPU, Triton on a GPU.

The plain ones say what is computed, and serve on a GPU too where there is no Triton. All arithmetic is float32,
whatever is stored. Pixels are matrices, N C with N = B H W; images are B C H W, channels-last.
"""

from __future__ import annotations

from msflow_stream.model.fused.kernels.flow import couple_, gather, log_likelihood, norm_relu_
from msflow_stream.model.fused.kernels.fusion import add_crossed_, pool_
from msflow_stream.model.fused.kernels.images import ACTIVATIONS, Activation, finish

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "add_crossed_",
    "couple_",
    "finish",
    "gather",
    "log_likelihood",
    "norm_relu_",
    "pool_",
]
