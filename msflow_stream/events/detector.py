"""Events: spans in which the smoothed score is above the threshold, with where in the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from msflow_stream.types import Event, FrameScore

MIN_REGION = 0.0005  # of the picture; smaller specks are no region
MAX_REGIONS = 5


class EventDetector:
    """Follows one source; `events` holds what was found, the last one open while its alarm lasts.

    Args:
        threshold: an event lasts while the smoothed score is above it.
        level: map values above it make regions.
        size: width and height of the source's pictures, for the boxes.
    """

    def __init__(self, threshold: float, level: float, size: tuple[int, int]) -> None:
        self.threshold, self.level, self.size = threshold, level, size
        self.events: list[Event] = []

    @property
    def _open(self) -> bool:
        return bool(self.events) and self.events[-1].end is None

    def update(self, score: FrameScore, smoothed: float) -> bool:
        """Takes the next scored frame in order; True while there is an alarm."""
        alarm = smoothed > self.threshold
        if alarm and not self._open:
            self.events.append(
                Event(
                    id=f"{score.source}-{score.index:08d}",
                    source=score.source,
                    scene=score.scene,
                    triggers=("paper",),
                    start=score.time,
                    end=None,
                    start_wall=score.wall,
                    end_wall=None,
                    peak_score=smoothed,
                    peak_index=score.index,
                    peak_time=score.time,
                    probability=None,
                    severity="low",
                    regions=self._regions(score),
                    tracks=(),
                    version=1,
                )
            )
        elif alarm and smoothed > self.events[-1].peak_score:
            self.events[-1] = replace(
                self.events[-1], peak_score=smoothed, peak_index=score.index, regions=self._regions(score)
            )
        elif not alarm:
            self.close(score.time)
        return alarm

    def close(self, time: float) -> None:
        """Ends an open event: the score fell, or the source ended at `time` (seconds)."""
        if self._open:
            self.events[-1] = replace(self.events[-1], end=time)

    def _regions(self, score: FrameScore) -> tuple[tuple[int, int, int, int], ...]:
        hot = (score.map.astype(np.float32) > self.level).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
        large = [row for row in stats[1:] if row[cv2.CC_STAT_AREA] >= MIN_REGION * hot.size]
        large.sort(key=lambda row: -int(row[cv2.CC_STAT_AREA]))
        rows, columns = hot.shape
        boxes = []
        for x, y, w, h, _ in (map(int, row) for row in large[:MAX_REGIONS]):
            left, right = _outward(x, x + w, self.size[0], columns)
            top, bottom = _outward(y, y + h, self.size[1], rows)
            boxes.append((left, top, right - left, bottom - top))
        return tuple(boxes)


def _outward(start: int, end: int, pixels: int, cells: int) -> tuple[int, int]:
    """The source pixels that the map cells `start:end` touch, of `pixels` in all."""
    return start * pixels // cells, -(-end * pixels // cells)
