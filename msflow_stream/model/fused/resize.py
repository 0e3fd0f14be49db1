"""Preparation of frames inside a network: resized by two matrix products, as `prepare` does it, then normalised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Resampling = Literal["area", "lanczos", "box", "bilinear"]
Size = tuple[int, int]


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


def resampling_matrix(length: int, wanted: int, resampling: Resampling) -> Tensor:
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
    matrix = torch.zeros(wanted, length, dtype=torch.float64)
    for row in range(wanted):
        centre = (row + 0.5) * scale
        first, end = max(0, int(centre - reach * stretch + 0.5)), min(length, int(centre + reach * stretch + 0.5))
        weights = torch.tensor(
            [function((pixel - centre + 0.5) / stretch) for pixel in range(first, end)], dtype=torch.float64
        )
        matrix[row, first:end] = weights / weights.sum()
    return matrix


def _shares(length: int, wanted: int) -> Tensor:
    """The share of every new pixel (rows) that an old one covers."""
    scale = length / wanted
    begin = torch.arange(wanted, dtype=torch.float64)[:, None] * scale
    pixel = torch.arange(length, dtype=torch.float64)
    return (torch.minimum(begin + scale, pixel + 1) - torch.maximum(begin, pixel)).clamp(min=0) / scale


class Preparation(nn.Module):
    """The network from frames (uint8 B h w 3, RGB) of one size to the backbone's input (B 3 H W).

    It does what `scenes.preparation.prepare` does.

    Args:
        frame_size: (h, w) of the frames.
        size: (H, W) of the input.
        resampling: as in the settings of the input.
        mean, std: of the normalisation.
    """

    rows: Tensor
    columns: Tensor
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
        matrices = [resampling_matrix(*pair, resampling).float() for pair in zip(frame_size, size, strict=True)]
        self.register_buffer("rows", matrices[0], persistent=False)  # H h
        self.register_buffer("columns", matrices[1].T.contiguous(), persistent=False)  # w W
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Returns the input for a batch of frames."""
        x = frames.permute(0, 3, 1, 2).float()  # B 3 h w
        if self.resizes:
            # Pillow keeps whole grey levels between its two passes: their order matters.
            if self.rows_first:
                x = _grey_levels(_grey_levels(self.rows @ x) @ self.columns)
            else:
                x = _grey_levels(self.rows @ _grey_levels(x @ self.columns))
        return (x / 255 - self.mean) / self.std


def _grey_levels(x: Tensor) -> Tensor:
    return x.add(0.5).floor().clamp(0, 255)
