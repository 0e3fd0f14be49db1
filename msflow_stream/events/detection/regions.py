"""The regions of a map as boxes in source pixels, and the tracks of regions from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Box, Track

Boxes = npt.NDArray[np.int64]  # N x 4: x, y, width, height in pixels
MIN_REGION = 0.0005  # of the map; smaller specks are no region
MAX_REGIONS = 5
LEAST_OVERLAP = 0.3  # shared area over the smaller box's: what grows or shrinks quickly stays the same
MISSES = 2  # frames without it that a track survives
MAX_POINTS = 64  # of a path
MAX_TRACKS = 16
STEADY = 3  # frames from which on a track is more than a flicker
REACH = 3.0  # of its own lengths that a thing may go in a second: of a person or a vehicle, faster than most
FARTHEST = 1.0  # seconds after which it may be no farther
SHORTEST = 0.1  # of the longer side of the frame: the least length of a thing, for specks
LARGE = 0.25  # of the largest region: smaller ones do not say where the activity is


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


def regions_of(anomaly_map: npt.NDArray[np.float16], level: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """Returns the boxes of the connected components (diagonals too) above `level`, at most 5, the largest first.

    Args:
        anomaly_map: h x w, 0 outside the areas that are watched.
        level: 0 or more; values above it make regions.
        size: width and height of the source's frames; a box holds every pixel that its component touches.
    """
    found, pixels = boxes_of(anomaly_map.astype(np.float32) > level, MIN_REGION * anomaly_map.size)
    rows, columns = anomaly_map.shape
    boxes = []
    for x, y, w, h in found[np.argsort(-pixels, kind="stable")[:MAX_REGIONS]].tolist():
        left, right = _outward(x, x + w, size[0], columns)
        top, bottom = _outward(y, y + h, size[1], rows)
        boxes.append((left, top, right - left, bottom - top))
    return tuple(boxes)


def _outward(start: int, end: int, pixels: int, cells: int) -> tuple[int, int]:
    """Returns the source pixels that the map cells `start:end` touch, of `pixels` in all."""
    return start * pixels // cells, -(-end * pixels // cells)


class Tracker:
    """The tracks of one event; a track goes on with the region that overlaps its newest box, best pairs first.

    Where regions merge, the track that overlaps more goes on. Where one splits, so does the part that overlaps more,
    and the other starts a track. A 17th track takes the place of one that is over: of that seen in the fewest frames,
    and of equal ones the smallest.

    Attributes:
        steady: how many tracks were seen in 3 frames or more; never falls.
    """

    def __init__(self) -> None:
        self.steady = 0
        self._tracks: list[_Path] = []
        self._started = 0

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks that are kept, in the order of their starts."""
        return tuple(path.track for path in self._tracks)

    def update(self, time: float, boxes: Sequence[Box]) -> None:
        """Adds the regions of the next frame."""
        live = [path for path in self._tracks if path.misses <= MISSES]
        pairs = _pairs([path.box for path in live], boxes)
        for number, path in enumerate(live):
            if number in pairs:
                path.add(time, boxes[pairs[number]])
                self.steady += path.seen == STEADY
            else:
                path.misses += 1
        for number, box in enumerate(boxes):
            if number not in pairs.values():
                self._start(time, box)

    def _start(self, time: float, box: Box) -> None:
        if len(self._tracks) == MAX_TRACKS:
            over = [path for path in self._tracks if path.misses > MISSES]
            self._tracks.remove(min(over or self._tracks, key=lambda path: (path.seen, path.largest)))
        self._started += 1
        self._tracks.append(_Path(self._started, time, box))


class _Path:
    """One track: at most 64 of its points, spread evenly over the frames it was seen in, and its newest one."""

    def __init__(self, number: int, time: float, box: Box) -> None:
        self.number, self.misses, self.seen = number, 0, 0
        self.largest = 0  # pixels
        self._points: list[tuple[float, Box]] = []
        self._stride = 1
        self.add(time, box)

    def add(self, time: float, box: Box) -> None:
        if self.seen % self._stride == 0:
            self._points.append((time, box))
        if len(self._points) == MAX_POINTS:
            self._points, self._stride = self._points[::2], self._stride * 2
        self.time, self.box = time, box
        self.misses, self.seen, self.largest = 0, self.seen + 1, max(self.largest, box[2] * box[3])

    @property
    def track(self) -> Track:
        newest = (self.time, self.box)
        path = self._points if self._points[-1] == newest else [*self._points, newest]
        return Track(self.number, path[0][0], self.time, tuple(path))


class Whereabouts:
    """The places of one event in its last second: what comes next is near them, or is something else."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, Box]] = []

    def near(self, time: float, boxes: Sequence[Box], size: tuple[int, int]) -> bool:
        """Returns True if one of the regions of a frame of that size can be what was seen, or either has no place."""
        if not boxes or not self._seen:
            return True
        shortest = SHORTEST * max(size)
        return any(self._can_be(time, box, shortest) for box in boxes)

    def add(self, time: float, boxes: Sequence[Box]) -> None:
        """Adds the regions of the next frame with activity: the large ones, the largest first."""
        large = [box for box in boxes if box[2] * box[3] >= LARGE * boxes[0][2] * boxes[0][3]]
        if large:
            self._seen = [one for one in self._seen if one[0] > time - FARTHEST] + [(time, box) for box in large]

    def _can_be(self, time: float, box: Box, shortest: float) -> bool:
        return any(
            _distance(box, old) <= REACH * min(time - then, FARTHEST) * max(shortest, min(max(box[2:]), max(old[2:])))
            for then, old in self._seen
        )


def _distance(first: Box, second: Box) -> float:
    """Pixels between two boxes; 0 where they meet."""
    (x, y, w, h), (other_x, other_y, other_w, other_h) = first, second
    across = max(0, other_x - x - w, x - other_x - other_w)
    down = max(0, other_y - y - h, y - other_y - other_h)
    return math.hypot(across, down)


def _pairs(before: Sequence[Box], after: Sequence[Box]) -> dict[int, int]:
    """Returns index before to index after, each at most once: the largest intersection over union first."""
    if not before or not after:
        return {}
    first, second = (np.array(boxes, np.int64).reshape(-1, 4) for boxes in (before, after))
    shared = shared_pixels(first, second)
    smaller = np.minimum(first[:, None, 2:].prod(axis=-1), second[None, :, 2:].prod(axis=-1))
    return match(iou(first, second), (shared >= LEAST_OVERLAP * smaller) & (shared > 0))
