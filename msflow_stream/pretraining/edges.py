"""Edges as targets: how strong they are around a place, and which way they run, at two scales."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F

DIRECTIONS = 6
SCALES = (1, 3)  # width of the mean before the gradient, in pixels
EDGES = len(SCALES) * (DIRECTIONS + 1)  # numbers per place
FAINT = 0.02  # gradient, of a range of 1: below it directions do not count


def edges(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Targets for h x w places of pictures (B 3 H W, within 0 and 1): B EDGES h w, all of the order of 1.

    Per scale: the strength, as a logarithm, and the shares of the directions, in a window twice as wide as a place.
    """
    grey = images.mean(1, keepdim=True)
    stride = images.shape[2] // size[0]
    turns = torch.arange(DIRECTIONS, device=images.device) * pi / DIRECTIONS
    found = []
    for width in SCALES:
        x = F.avg_pool2d(F.pad(grey, (width // 2 + 1,) * 4, mode="reflect"), width, 1)
        across, down = (x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]) / 2, (x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]) / 2
        along = torch.cos(turns).view(1, -1, 1, 1) * across + torch.sin(turns).view(1, -1, 1, 1) * down  # B D H W
        energy = _windows(along.square(), stride)
        total = energy.sum(1, keepdim=True)
        shares = energy / (total + DIRECTIONS * FAINT**2 / 2) * DIRECTIONS - 1
        found += [torch.log(total / FAINT**2 + 0.1) / 2, shares]
    return torch.cat(found, 1)


def _windows(x: Tensor, stride: int) -> Tensor:
    """Means over windows of twice the stride, centred on the places: B D h w."""
    half = stride // 2
    return F.avg_pool2d(F.pad(x, (half,) * 4, mode="reflect"), 2 * stride, stride)
