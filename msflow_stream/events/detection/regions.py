"""The regions of a map as boxes in source pixels, and the tracks of regions from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Box, Track

MIN_REGION = 0.0005  # of the map; smaller specks are no region
MAX_REGIONS = 5

LEAST_OVERLAP = 0.3  # shared area over the smaller box's: what grows or shrinks quickly stays the same
MISSES = 2  # frames without it that a track survives
MAX_POINTS = 64  # of a path
MAX_TRACKS = 16
STEADY = 3  # frames from which on a track is more than a flicker


def regions_of(anomaly_map: npt.NDArray[np.float16], level: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """Returns the boxes of the connected components (diagonals too) above `level`, at most 5, the largest first.

    Args:
        anomaly_map: h x w, 0 outside the areas that are watched.
        level: 0 or more; values above it make regions.
        size: width and height of the source's frames; a box holds every pixel that its component touches.
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


def _pairs(before: Sequence[Box], after: Sequence[Box]) -> dict[int, int]:
    """Returns index before to index after, each at most once: the largest intersection over union first."""
    ranked = []
    for i, first in enumerate(before):
        for j, second in enumerate(after):
            shared = _shared(first, second)
            areas = first[2] * first[3], second[2] * second[3]
            if shared >= LEAST_OVERLAP * min(areas) and shared > 0:
                ranked.append((-shared / (sum(areas) - shared), i, j))
    pairs: dict[int, int] = {}
    for _, i, j in sorted(ranked):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _shared(first: Box, second: Box) -> int:
    """Returns the number of pixels that are in both."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
