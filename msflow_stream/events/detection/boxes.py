"""Boxes: those of a mask's connected components, how much they overlap, and which belong together."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.int64]  # N x 4: x, y, width, height in pixels


def boxes_of(mask: npt.ArrayLike, smallest: float = 1) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """Returns the bounding boxes of a mask's connected components (diagonal neighbours included), and their pixels (N).

    Args:
        mask: H x W, nonzero inside.
        smallest: pixels; components of fewer do not count.
    """
    inside = np.ascontiguousarray(np.asarray(mask) != 0, np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    components = stats[1:].astype(np.int64)  # the first is what is outside
    large = components[components[:, cv2.CC_STAT_AREA] >= smallest]
    return large[:, :4], large[:, cv2.CC_STAT_AREA]


def shared_pixels(first: Boxes, second: Boxes) -> npt.NDArray[np.int64]:
    """Returns the pixels that are in both boxes of every pair: N x M of N and M boxes."""
    near = np.maximum(first[:, None, :2], second[None, :, :2])
    far = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    return np.asarray(np.maximum(far - near, 0).prod(axis=-1), np.int64)


def iou(first: Boxes, second: Boxes) -> npt.NDArray[np.float64]:
    """Returns the intersection over union of every pair: N x M of N and M boxes."""
    shared = shared_pixels(first, second)
    union = first[:, None, 2:].prod(axis=-1) + second[None, :, 2:].prod(axis=-1) - shared
    return np.asarray(shared / union, np.float64)


def match(overlaps: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_]) -> dict[int, int]:
    """Returns the pairs (row to column) with the largest overlaps first, each row and each column at most once.

    Args:
        overlaps: N x M.
        allowed: N x M, the pairs that there may be.
    """
    found: dict[int, int] = {}
    rows, columns = np.nonzero(allowed)
    for at in np.argsort(-overlaps[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in found and column not in found.values():
            found[row] = column
    return found
