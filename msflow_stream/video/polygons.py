"""Polygons on the pixels of an image: those inside, and those touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Polygon = Sequence[tuple[float, float]]  # x, y: shares of the image's width and height
Mask = npt.NDArray[np.bool_]  # H W

SLACK = 1e-9  # of a pixel: what ends at its border does not touch it


def inside(polygon: Polygon, size: tuple[int, int]) -> Mask:
    """Returns the pixels, of an image of `size` (height, width), whose centre is inside.

    Those to whose centre the line from the left border crosses an odd number of edges.
    """
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


def touched(polygon: Polygon, size: tuple[int, int], cell: int = 1) -> Mask:
    """Returns the cells of `cell` x `cell` pixels, of an image of `size`, of which any part is inside."""
    height, width = size
    rows, columns = math.ceil(height / cell), math.ceil(width / cell)
    points = [(x * width / cell, y * height / cell) for x, y in polygon]  # in cells
    mask = inside([(x / columns, y / rows) for x, y in points], (rows, columns))
    for ends in pairwise([*points, points[0]]):
        _touch(mask, *sorted(ends, key=lambda point: (point[1], point[0])))
    return mask


def _touch(mask: Mask, upper: tuple[float, float], lower: tuple[float, float]) -> None:
    """Adds the cells that an edge goes through."""
    (x0, y0), (x1, y1) = upper, lower
    for row in range(max(0, math.floor(y0 + SLACK)), min(len(mask), math.ceil(y1 - SLACK))):
        if y1 - y0 > SLACK:
            # Where it enters and leaves the row.
            ends = [x0 + (min(max(y, y0), y1) - y0) / (y1 - y0) * (x1 - x0) for y in (row, row + 1)]
        else:
            ends = [x0, x1]
        mask[row, math.floor(min(ends) + SLACK) : math.ceil(max(ends) - SLACK)] = True
