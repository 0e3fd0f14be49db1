"""Where in the picture: the regions of a map as boxes in source pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Box

MIN_REGION = 0.0005  # of the picture; smaller specks are no region
MAX_REGIONS = 5


def regions_of(anomaly_map: npt.NDArray[np.float16], level: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """Boxes of the connected components (diagonal neighbours included) above `level`, at most 5, the largest first.

    Args:
        anomaly_map: h x w, 0 outside the areas that are watched.
        level: 0 or more; values above it make regions.
        size: width and height of the source's pictures; a box holds every pixel that its component touches.
    """
    hot = (anomaly_map.astype(np.float32) > level).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    large = [row for row in stats[1:] if row[cv2.CC_STAT_AREA] >= MIN_REGION * hot.size]
    large.sort(key=lambda row: -int(row[cv2.CC_STAT_AREA]))
    rows, columns = hot.shape
    boxes = []
    for x, y, w, h, _ in (map(int, row) for row in large[:MAX_REGIONS]):
        left, right = _outward(x, x + w, size[0], columns)
        top, bottom = _outward(y, y + h, size[1], rows)
        boxes.append((left, top, right - left, bottom - top))
    return tuple(boxes)


def _outward(start: int, end: int, pixels: int, cells: int) -> tuple[int, int]:
    """The source pixels that the map cells `start:end` touch, of `pixels` in all."""
    return start * pixels // cells, -(-end * pixels // cells)
