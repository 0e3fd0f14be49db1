"""The operations of the fusion flow that take one scale to the size of another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from msflow_stream.model.fused.kernels.operation import operation
from msflow_stream.model.tensors import as_images, as_pixels


@operation(changes=["pooled"])
def pool_(pooled: Tensor, start: int, pixels: Tensor, size: Sequence[int], small: Sequence[int]) -> None:
    """Averages images of one size to another, as `adaptive_avg_pool2d` does, into channels from `start` on.

    Args:
        pooled: (B h w) C'.
        start: the first channel that is changed.
        pixels: (B H W) C.
        size: (H, W).
        small: (h, w).
    """
    height, width = size
    images = as_images(pixels.float(), (height, width))
    pooled[:, start : start + pixels.shape[1]] = as_pixels(F.adaptive_avg_pool2d(images, (small[0], small[1])))


@operation(changes=["pixels"])
def add_crossed_(
    pixels: Tensor, crossed: Tensor, bias: Tensor, start: int, size: Sequence[int], small: Sequence[int]
) -> None:
    """Adds `relu(crossed + bias)`, of the channels from `start` on, stretched bilinearly with corners aligned.

    Args:
        pixels: (B H W) C.
        crossed: (B h w) C'.
        bias: float32, C'.
        start: the first channel of `crossed` that is read.
        size: (H, W).
        small: (h, w).
    """
    height, width = small
    part = slice(start, start + pixels.shape[1])
    images = as_images((crossed[:, part].float() + bias[part]).relu_(), (height, width))
    stretched = F.interpolate(images, size=list(size), mode="bilinear", align_corners=True)
    pixels.copy_(pixels.float() + as_pixels(stretched))
