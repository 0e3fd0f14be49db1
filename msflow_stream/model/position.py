"""The sinusoidal position condition of the parallel flows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def position_condition(channels: int, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Returns the two-dimensional sinusoidal encoding, the same for every image of one size.

    The first half of the channels interleaves sin and cos of the x index, the second half of the y index, at
    frequencies `exp(-2k ln(10^4) / (channels / 2))` (Vaswani et al. 2017, once per axis).

    Returns:
        float32 `channels x height x width`.
    """
    if channels % 4:
        raise ValueError(f"the position condition needs a multiple of 4 channels, not {channels}")
    half = channels // 2
    frequency = torch.exp(torch.arange(0, half, 2, dtype=torch.float64) * (-math.log(1e4) / half))
    condition = torch.empty(channels, height, width)
    for start, size, shape in ((0, width, (-1, 1, width)), (half, height, (-1, height, 1))):
        angle = frequency[:, None] * torch.arange(size, dtype=torch.float64)  # half/2 size
        condition[start : start + half : 2] = angle.sin().reshape(shape)
        condition[start + 1 : start + half : 2] = angle.cos().reshape(shape)
    return condition.to(device)
