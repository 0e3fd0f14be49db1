"""Regions of masks as boxes, and the same region followed from mask to mask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.int64]  # N x 4: x, y, width, height in pixels


def boxes_of(mask: npt.ArrayLike, smallest: int = 1) -> Boxes:
    """Bounding boxes of the connected components (diagonal neighbours included) of a mask, H x W.

    Args:
        mask: nonzero inside.
        smallest: pixels; components of fewer do not count.
    """
    inside = np.ascontiguousarray(np.asarray(mask) != 0, np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    components = stats[1:]  # the first is what is outside
    return np.asarray(components[components[:, cv2.CC_STAT_AREA] >= smallest, :4], np.int64)


def iou(first: Boxes, second: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair: N x M of N and M boxes."""
    near = np.maximum(first[:, None, :2], second[None, :, :2])
    far = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    shared = np.maximum(far - near, 0).prod(axis=-1)  # N M
    union = first[:, None, 2:].prod(axis=-1) + second[None, :, 2:].prod(axis=-1) - shared
    return np.asarray(shared / union, np.float64)


def tracked(masks: Iterable[npt.ArrayLike], overlap: float = 0.1) -> Iterator[tuple[Boxes, list[int]]]:
    """The regions of successive masks of one clip, and for each region the number of its track, counted from 0.

    For data sets that have masks but no tracks. A region continues the track of a region of the mask before if the
    intersection over union of their boxes is above `overlap`. Pairs with the largest come first and each region is
    in one pair only: where two merge, the track that overlaps more goes on; where one splits, so does its larger
    part, and the other starts a track. A track ends with the first mask in which it has no region.
    """
    before, numbers, started = np.empty((0, 4), np.int64), list[int](), 0
    for mask in masks:
        boxes = boxes_of(mask)
        continued = _pairs(iou(before, boxes), overlap)
        following = []
        for region in range(len(boxes)):
            if region in continued:
                following.append(numbers[continued[region]])
            else:
                following.append(started)
                started += 1
        before, numbers = boxes, following
        yield boxes, list(numbers)


def _pairs(overlaps: npt.NDArray[np.float64], least: float) -> dict[int, int]:
    """Of N x M overlaps above `least`, the largest first, each row and column once: column -> row."""
    found: dict[int, int] = {}
    rows, columns = np.nonzero(overlaps > least)
    for at in np.argsort(-overlaps[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if column not in found and row not in found.values():
            found[column] = row
    return found
