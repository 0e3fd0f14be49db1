"""Images as matrices of pixels and channels: free of copies for tensors that are channels-last."""

from __future__ import annotations

from torch import Tensor, nn


def as_pixels(x: Tensor) -> Tensor:
    """B C H W to (B H W) C."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def as_images(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(B H W) C to B C H W, channels-last."""
    return pixels.view(-1, *size, pixels.shape[1]).permute(0, 3, 1, 2)


def weights_bytes(module: nn.Module) -> int:
    """Of its parameters and buffers."""
    return sum(value.nbytes for value in (*module.parameters(), *module.buffers()))
