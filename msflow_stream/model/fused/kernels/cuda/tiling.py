"""How the work of a kernel is shared out: each program has some rows (pixels) and some channels, side by side."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import triton
from torch import Tensor

VALUES = 2048  # of a program: 16 in each of the 128 threads of four warps
WIDEST = 256  # channels of a program that does not need all of them


class Tile(NamedTuple):
    """The constants of a kernel's tiles.

    Attributes:
        ROWS: rows of a program, a power of 2.
        WIDTH: channels of a program, a power of 2.
        PARTS: programs that share the channels of the same rows.
    """

    ROWS: int
    WIDTH: int
    PARTS: int

    def programs(self, rows: int) -> tuple[int]:
        """Returns the grid for so many rows."""
        return (triton.cdiv(rows, self.ROWS) * self.PARTS,)


def tile(channels: int) -> Tile:
    """Returns the tiles of a kernel that takes every channel by itself: at most a quarter of a tile lies idle."""
    width = min(triton.next_power_of_2(channels), WIDEST)
    while width > 16 and 4 * channels < 3 * width * triton.cdiv(channels, width):
        width //= 2
    return Tile(max(1, VALUES // width), width, triton.cdiv(channels, width))


def whole_rows(channels: int) -> Tile:
    """Returns the tiles of a kernel that needs all channels of a row at once."""
    width = triton.next_power_of_2(channels)
    return Tile(max(1, VALUES // width), width, 1)


def on_device_of(x: Tensor) -> AbstractContextManager[object]:
    """Makes the device of a tensor the one that kernels are launched on."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
