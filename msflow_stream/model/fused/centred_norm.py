"""Layer normalisation over channels, behind a convolution that has taken their mean away."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CentredNorm(nn.Module):
    """Layer normalisation over the channels of every pixel, for B C H W whose mean over the channels is 0 already.

    PyTorch has one kernel for it. Other runtimes would put the channels last in memory and back: exported, it is
    spelled out over the channels where they are.

    Args:
        norm: stays as it is.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(norm.normalized_shape, norm.eps).to(norm.weight.device)
        self.norm.load_state_dict(norm.state_dict())

    def forward(self, input: Tensor) -> Tensor:
        """Returns B C H W for B C H W."""
        norm = self.norm
        if not torch.onnx.is_in_onnx_export():
            normalised = F.layer_norm(
                input.permute(0, 2, 3, 1), norm.normalized_shape, norm.weight, norm.bias, norm.eps
            )
            return normalised.permute(0, 3, 1, 2)
        squares = torch.linalg.vector_norm(input, dim=1, keepdim=True).square()  # B 1 H W
        inverse = torch.rsqrt(squares / input.shape[1] + norm.eps)
        return input * inverse * norm.weight[:, None, None] + norm.bias[:, None, None]


def centred(weight: Tensor, dim: int = 0) -> Tensor:
    """Returns weights or values less their mean over the output channels."""
    return weight - weight.mean(dim, keepdim=True)
