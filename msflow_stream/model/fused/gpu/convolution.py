"""Convolutions of stored weights in the precision of the arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.fused.fusion import Size
from msflow_stream.model.tensors import as_images, as_pixels

ALIGNED = 16  # bytes that kernels of convolutions read at a time


class PixelConvolution(nn.Module):
    """A 3x3 convolution with zero padding and without bias, from pixels (B H W) C of one size to pixels.

    Args:
        weight: C' C 3 3.
        size: (H, W).
        dtype: of the weight and the pixels.
    """

    weight: Tensor

    def __init__(self, weight: Tensor, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = size
        kept = weight.detach().to(dtype, memory_format=torch.channels_last)
        self.register_buffer("weight", kept, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns (B H W) C'."""
        return as_pixels(torch.conv2d(as_images(pixels, self.size), self.weight, padding=1)).contiguous()


def aligned(channels: int, dtype: torch.dtype) -> int:
    """Returns how many channels there have to be so that every pixel begins where kernels begin to read."""
    step = ALIGNED // dtype.itemsize
    return -(-channels // step) * step


def widened(weight: Tensor, inputs: int, outputs: int | None = None) -> Tensor:
    """Returns the weights of a convolution with zeros for more inputs and outputs."""
    more = 0 if outputs is None else outputs - weight.shape[0]
    return F.pad(weight.detach(), (0, 0, 0, 0, 0, inputs - weight.shape[1], 0, more))
