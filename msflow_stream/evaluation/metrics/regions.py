"""RBDC and TBDC: which anomalous regions and tracks of a video are found, at how many false regions per frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.metrics.streaming import Curve, halves
from msflow_stream.events.detection.regions import Boxes, boxes_of, iou, match

LIMIT = 1.0  # false regions per frame up to which the rates are averaged, in the paper and its survey


def tracked(masks: Iterable[npt.ArrayLike], overlap: float = 0.1) -> Iterator[tuple[Boxes, list[int]]]:
    """Yields the regions of successive masks of one clip, and for each the number of its track, counted from 0.

    For data sets that have masks but no tracks. A region continues the track of a region of the mask before if the
    intersection over union of their boxes is above `overlap`. Pairs with the largest come first and each region is
    in one pair only: where two merge, the track that overlaps more goes on; where one splits, so does its larger
    part, and the other starts a track. A track ends with the first mask in which it has no region.
    """
    before, numbers, started = np.empty((0, 4), np.int64), list[int](), 0
    for mask in masks:
        boxes, _ = boxes_of(mask)
        overlaps = iou(before, boxes)
        continued = {now: earlier for earlier, now in match(overlaps, overlaps > overlap).items()}
        following = []
        for region in range(len(boxes)):
            if region in continued:
                following.append(numbers[continued[region]])
            else:
                following.append(started)
                started += 1
        before, numbers = boxes, following
        yield boxes, list(numbers)


class RegionCriteria:
    """Region-based and track-based detection criterion, of maps that come one by one.

    Of Ramachandra and Jones, "Street Scene: A new dataset and evaluation protocol for video anomaly detection"
    (WACV 2020). At a threshold, the detected regions are the bounding boxes of the connected components (diagonal
    neighbours included) of `map >= threshold`.

    - A labelled region is found if its intersection over union with some detected region of its frame is >= beta.
    - A track is found if at least a share alpha of its regions is.
    - A detected region is false if its intersection over union with every labelled region of its frame is < beta.

    RBDC and TBDC are the share of found regions, and of found tracks, averaged over 0 to 1 false regions per frame.

    The curve starts at (0, 0) and goes through the thresholds from the highest down, joined by straight lines, held
    after the last one. Both rates keep their maximum on the way: as the threshold falls components grow together, and
    one blob over the whole map would otherwise undo the false regions that it swallows.

    What is kept between frames are counts for each threshold and track, so the thresholds must be known beforehand.
    `ValueCounts.thresholds` chooses them: from the same maps where they can be read twice, or else from maps of
    normal footage, since above all that is normal false regions are too few to shape the curve.

    Args:
        thresholds: values of maps, in any order; equal ones count once.
        alpha: share of a track's regions, 0.1 in the paper.
        beta: intersection over union, 0.1 in the paper.
        smallest: pixels; detected components of fewer do not count.

    Raises:
        ValueError: no thresholds.
    """

    def __init__(self, thresholds: npt.ArrayLike, *, alpha: float = 0.1, beta: float = 0.1, smallest: int = 1) -> None:
        self.alpha, self.beta, self.smallest = alpha, beta, smallest
        self._thresholds = np.unique(np.asarray(thresholds, np.float64))  # ascending
        if not len(self._thresholds):
            raise ValueError("RegionCriteria needs at least one threshold")
        self._frames = 0
        self._false = np.zeros(len(self._thresholds), np.int64)
        self._found: dict[Hashable, npt.NDArray[np.int64]] = {}  # of each track: regions found at each threshold
        self._regions: dict[Hashable, int] = {}  # of each track: all regions

    def add(self, anomaly_map: npt.ArrayLike, boxes: Boxes, tracks: Sequence[Hashable]) -> None:
        """Adds one frame.

        Args:
            anomaly_map: H x W, rounded to float16.
            boxes: N x 4 labelled regions (x, y, width, height) in pixels of the map; none where the frame is normal.
            tracks: the track that each region belongs to, unique over all clips: such as (clip, number).
        """
        levels = np.searchsorted(self._thresholds, halves(anomaly_map), side="right")  # thresholds <= the value
        found = np.zeros((len(boxes), len(self._thresholds)), np.int64)
        for number in range(int(levels.max())):  # higher ones leave nothing
            detected, _ = boxes_of(levels > number, self.smallest)
            hits = iou(detected, boxes) >= self.beta  # detected labelled
            self._false[number] += int((~hits.any(axis=1)).sum())
            found[:, number] = hits.any(axis=0)
        self._frames += 1
        for track, row in zip(tracks, found, strict=True):
            self._count(track, 1, row)

    def merge(self, other: RegionCriteria) -> None:
        """Adds all that another one, of the same thresholds and settings, has seen.

        Raises:
            ValueError: other thresholds or settings.
        """
        if not np.array_equal(self._thresholds, other._thresholds) or (self.alpha, self.beta, self.smallest) != (
            other.alpha,
            other.beta,
            other.smallest,
        ):
            raise ValueError("only criteria of the same thresholds, alpha, beta and smallest can be merged")
        self._frames += other._frames
        self._false += other._false
        for track, row in other._found.items():
            self._count(track, other._regions[track], row)

    def rbdc(self, limit: float = LIMIT) -> float | None:
        """Returns the mean share of found regions from 0 to `limit` false regions per frame; None without labels."""
        curve = self.region_curve()
        return None if curve is None else curve.mean(limit)

    def tbdc(self, limit: float = LIMIT) -> float | None:
        """Returns the mean share of found tracks from 0 to `limit` false regions per frame; None without labels."""
        curve = self.track_curve()
        return None if curve is None else curve.mean(limit)

    def region_curve(self) -> Curve | None:
        """Returns the share of found regions over false regions per frame."""
        if not self._regions:
            return None
        return self._curve(np.sum(list(self._found.values()), axis=0) / sum(self._regions.values()))

    def track_curve(self) -> Curve | None:
        """Returns the share of found tracks over false regions per frame."""
        if not self._regions:
            return None
        shares = np.stack([row / self._regions[track] for track, row in self._found.items()])  # tracks thresholds
        return self._curve((shares >= self.alpha).mean(axis=0))

    def _count(self, track: Hashable, regions: int, found: npt.NDArray[np.int64]) -> None:
        self._regions[track] = self._regions.get(track, 0) + regions
        self._found[track] = self._found.get(track, np.zeros_like(found)) + found

    def _curve(self, rate: npt.NDArray[np.float64]) -> Curve:
        """Rates by ascending threshold, as a curve from the highest threshold down."""
        false, found = (np.append(0, values[::-1]) for values in (self._false / self._frames, rate))
        return Curve(np.maximum.accumulate(false), np.maximum.accumulate(found))
