"""Preparation of frames inside a network: resized by two banded matrix products, then normalised, as by `prepare`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Resampling = Literal["area", "lanczos", "box", "bilinear"]
Size = tuple[int, int]
Matrix = npt.NDArray[np.float64]
BLOCK = 32  # rows of a matrix at a time


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


FILTERS: dict[str, tuple[Callable[[float], float], float]] = {  # and how far each reaches
    "lanczos": (_lanczos, 3.0),
    "box": (_box, 0.5),
    "bilinear": (_triangle, 1.0),
}


def resampling_matrix(length: int, wanted: int, resampling: Resampling) -> Matrix:
    """Returns the matrix (wanted x length) that resizes a row of pixels.

    The filter is stretched when an image shrinks, so that every pixel counts; it is cut off at the borders and its
    weights sum to 1. That is how Pillow resamples. `area` is the mean over a pixel's exact area, as libswscale and
    OpenCV have it.
    """
    if resampling == "area":
        return _shares(length, wanted)
    function, reach = FILTERS[resampling]
    scale = length / wanted
    stretch = max(scale, 1.0)
    matrix = np.zeros((wanted, length))
    for row in range(wanted):
        centre = (row + 0.5) * scale
        first, end = max(0, int(centre - reach * stretch + 0.5)), min(length, int(centre + reach * stretch + 0.5))
        weights = np.array([function((pixel - centre + 0.5) / stretch) for pixel in range(first, end)])
        matrix[row, first:end] = weights / weights.sum()
    return matrix


def _shares(length: int, wanted: int) -> Matrix:
    """The share of every new pixel (rows) that an old one covers."""
    scale = length / wanted
    begin = np.arange(wanted)[:, None] * scale
    pixel = np.arange(length)
    covered: Matrix = np.minimum(begin + scale, pixel + 1) - np.maximum(begin, pixel)
    return covered.clip(min=0) / scale


class Banded(nn.Module):
    """The product with a matrix (wanted x length) whose rows have weights in a narrow band alone.

    It is done by blocks of rows, each with the part of the input that it has weights for, in place. For three planes of
    1080 x 1920 that become 256 x 256 by Lanczos, the whole matrices need 1805 million multiplications, blocks 257
    million, and the bands themselves 42 million: but to gather what each output needs would take 150 MB of memory for
    the columns, where the blocks read 28.

    Args:
        matrix: the whole of it.
        axis: -2: of columns of the input, from the left; -1: of its rows, from the right and transposed.
    """

    def __init__(self, matrix: Matrix, axis: Literal[-2, -1]) -> None:
        super().__init__()
        self.axis = axis
        self.spans: list[tuple[int, int]] = []  # where the input of each block begins, and how long it is
        for start in range(0, len(matrix), BLOCK):
            block = matrix[start : start + BLOCK]
            weighty = np.flatnonzero(block.any(0))
            first, end = int(weighty[0]), int(weighty[-1]) + 1
            part = block[:, first:end] if axis == -2 else block[:, first:end].T
            weights = torch.from_numpy(np.ascontiguousarray(part, np.float32))
            self.register_buffer(f"part{len(self.spans)}", weights, persistent=False)
            self.spans.append((first, end - first))

    def forward(self, x: Tensor) -> Tensor:
        """Returns .. length n to .. wanted n, or .. n length to .. n wanted."""
        parts = [self.get_buffer(f"part{number}") for number in range(len(self.spans))]
        inputs = [x.narrow(self.axis, *span) for span in self.spans]
        made = [part @ one if self.axis == -2 else one @ part for part, one in zip(parts, inputs, strict=True)]
        return torch.cat(made, self.axis)


class Preparation(nn.Module):
    """The network from frames (uint8 B h w 3, RGB) of one size to the backbone's input (B 3 H W).

    It does what `scenes.preparation.prepare` does.

    Args:
        frame_size: (h, w) of the frames.
        size: (H, W) of the input.
        resampling: as in the settings of the input.
        mean, std: of the normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, frame_size: Size, size: Size, resampling: Resampling, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.resizes = frame_size != size
        lower, narrower = frame_size[0] - size[0], frame_size[1] - size[1]
        self.rows_first = lower > 0 and lower > 2 * narrower  # as Pillow, by trying all kinds of sizes
        if resampling == "area" and min(lower, narrower) < 0:  # as a decoder's frame that is too small for it
            resampling = "lanczos"
        self.rows = Banded(resampling_matrix(frame_size[0], size[0], resampling), -2)
        self.columns = Banded(resampling_matrix(frame_size[1], size[1], resampling), -1)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Returns the input for a batch of frames."""
        x = frames.permute(0, 3, 1, 2).contiguous().float()  # B 3 h w
        if self.resizes:
            # Pillow keeps whole grey levels between its two passes: their order matters.
            if self.rows_first:
                x = _grey_levels(self.columns(_grey_levels(self.rows(x))))
            else:
                x = _grey_levels(self.rows(_grey_levels(self.columns(x))))
        return (x / 255 - self.mean) / self.std


def _grey_levels(x: Tensor) -> Tensor:
    return x.add(0.5).floor().clamp(0, 255)
