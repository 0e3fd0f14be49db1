"""The coarse maps that a camera recorded: how much of a frame's score other areas would leave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Cells = npt.NDArray[np.float64]  # a value for each cell of a coarse map


def cells_of(mask: Mask, shape: tuple[int, ...]) -> Cells:
    """Returns the number of pixels of a mask in each cell of a coarse map, as `activity_file.pooled` makes it."""
    counts = mask.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(shape[axis]) * mask.shape[axis] // shape[axis]
        counts = np.add.reduceat(counts, starts, axis=axis)
    return counts


def share_left(heat: Cells, before: Cells, after: Cells, top: float) -> tuple[float, float]:
    """Returns the least and the most share of a frame's score that other areas leave, above what is usual in it.

    Args:
        heat: the coarse map.
        before, after: the pixels in each cell that were watched, and those of them that still would be.
        top: the share of pixels that a score is the mean of.
    """
    usual = _at(heat, before, 0.5)
    whole = _top(heat, before, top) - usual
    if whole <= 0:
        return 1.0, 1.0
    cut = (after > 0) & (after < before)
    shares = [(_top(one, after, top) - usual) / whole for one in (np.where(cut, np.minimum(heat, usual), heat), heat)]
    least, most = (max(0.0, share) for share in shares)
    return least, most


def _top(heat: Cells, pixels: Cells, top: float) -> float:
    """Returns the mean of that share of the pixels that has the largest values."""
    order = np.argsort(heat, axis=None)[::-1]
    values, counts = heat.ravel()[order], pixels.ravel()[order]
    wanted = max(1.0, top * counts.sum())
    taken = np.diff(np.minimum(np.cumsum(counts), wanted), prepend=0.0)
    return float((values * taken).sum() / max(taken.sum(), 1.0))


def _at(heat: Cells, pixels: Cells, share: float) -> float:
    """Returns the value that so large a share of the pixels is not above."""
    order = np.argsort(heat, axis=None)
    reached = np.cumsum(pixels.ravel()[order]) >= share * pixels.sum()
    return float(heat.ravel()[order][int(np.argmax(reached))])
