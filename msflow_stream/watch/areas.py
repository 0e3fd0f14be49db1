"""The areas of an image that are watched: polygons to a mask of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from msflow_stream.types import UserError

Polygon = Sequence[tuple[float, float]]  # x, y: shares of the image's width and height


def area_mask(
    watch: Sequence[Polygon], ignore: Sequence[Polygon], size: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    """Returns the mask of the pixels, of an image of `size` (height, width), in `watch` and not in `ignore`.

    A pixel is in a polygon if its centre is; where a polygon crosses itself, the even-odd rule decides. Without `watch`
    everything is watched. None if neither is given.

    Raises:
        UserError: nothing is left to watch.
    """
    if not watch and not ignore:
        return None
    mask = _union(watch, size) if watch else np.ones(size, np.bool_)
    mask &= ~_union(ignore, size)
    if not mask.any():
        height, width = size
        raise UserError(f"watch and ignore leave no pixel of {width}x{height} to watch: enlarge watch or shrink ignore")
    return mask


def _union(polygons: Sequence[Polygon], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    for polygon in polygons:
        mask |= _inside(polygon, size)
    return mask


def _inside(polygon: Polygon, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Returns the pixels inside: those to whose centre the line from the left border crosses an odd number of edges."""
    height, width = size
    xs, ys = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height  # centres
    mask = np.zeros(size, np.bool_)
    for ends in pairwise([*polygon, polygon[0]]):
        # Downwards whichever way the polygon goes: of two that share an edge, one has the pixel.
        (x0, y0), (x1, y1) = sorted(ends, key=lambda point: (point[1], point[0]))
        rows = np.flatnonzero((y0 <= ys) & (ys < y1))
        crossing = x0 + (ys[rows] - y0) / (y1 - y0) * (x1 - x0) if len(rows) else ys[rows]
        mask[rows] ^= xs > crossing[:, None]
    return mask
