"""Images as matrices of pixels and channels, free of copies for channels-last tensors; bytes of weights."""

from __future__ import annotations

from torch import Tensor, nn


def as_pixels(x: Tensor) -> Tensor:
    """Returns (B H W) C for B C H W."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def as_images(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns B C H W, channels-last, for (B H W) C."""
    return pixels.view(-1, *size, pixels.shape[1]).permute(0, 3, 1, 2)


def weights_bytes(module: nn.Module) -> int:
    """Counts the bytes of a module's parameters and buffers."""
    return sum(value.nbytes for value in (*module.parameters(), *module.buffers()))
