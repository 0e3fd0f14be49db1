"""Smoothed scores of normal footage, and how often they rise above a level: an excursion is one alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ENOUGH = 50  # excursions to fit a tail on: more of them lie lower, where it is less of a tail
HIGHEST_SHARE = 0.3  # of the frames may be above the level that a tail begins at
LADDER = 1.1  # ratio of the numbers of frames above neighbouring levels that are tried


@dataclass(frozen=True, slots=True)
class Series:
    """The smoothed scores of one source, in their order; `times` in seconds."""

    times: Floats
    values: Floats


class NormalRecord:
    """The scores of a scene's normal footage. Those that are not finite are left out: they are no alarm either.

    Args:
        series: the scores, source by source.
        gap: seconds; scores above a level that lie no further apart are one excursion, and so are those of
            consecutive frames. That is the runs method of declustering, with the events' cool-down as its run.

    Attributes:
        values: all finite scores, source by source.
        broken: number of scores that are not finite.
        hours: length of the footage.
    """

    def __init__(self, series: Sequence[Series], gap: float) -> None:
        self.gap = gap
        finite = [np.isfinite(one.values) for one in series]
        self.values = _joined([one.values[good] for one, good in zip(series, finite, strict=True)])
        self._times = _joined([one.times[good] for one, good in zip(series, finite, strict=True)])
        self._source = np.repeat(np.arange(len(series)), [int(good.sum()) for good in finite])
        self.broken = sum(len(good) for good in finite) - len(self.values)
        self.hours = _hours([one.times for one in series])

    @property
    def highest(self) -> float:
        """The highest finite score, of which there must be one."""
        return float(self.values.max())

    def peaks(self, level: float) -> Floats:
        """Returns the highest score of every excursion above a level."""
        above = np.flatnonzero(self.values > level)
        if not len(above):
            return np.empty(0)
        apart = (np.diff(above) > 1) & (np.diff(self._times[above]) > self.gap)
        first = np.append(True, apart | (np.diff(self._source[above]) > 0))
        result: Floats = np.maximum.reduceat(self.values[above], np.flatnonzero(first))
        return result

    def level(self, rate: float = 0.0) -> float:
        """Returns the level at which a tail may begin: the highest with ENOUGH excursions, and `rate` of them per hour.

        Where no level has so many, it is the one with the most. No more than HIGHEST_SHARE of the frames are above it.

        Raises:
            ValueError: no finite score.
        """
        ascending = np.sort(self.values)
        count = len(ascending)
        most = max(1, int(HIGHEST_SHARE * count))
        steps = math.ceil(math.log(most, LADDER)) + 1
        numbers = np.unique(np.minimum(most, np.ceil(LADDER ** np.arange(steps)).astype(int)))  # of frames above
        best, found = float(ascending[-1]), 0
        for number in numbers.tolist():
            level = float(ascending[max(0, count - 1 - number)])
            excursions = len(self.peaks(level))
            if excursions > found:
                best, found = level, excursions
            if found >= max(ENOUGH, rate * self.hours):
                break
        return best


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0)


def _hours(times: Sequence[Floats]) -> float:
    """The length of footage: a frame lasts as long as the usual time between two; 0 where there is no such time."""
    steps = _joined([np.diff(one) for one in times])
    if not len(steps):
        return 0.0
    return float(sum(one[-1] - one[0] + np.median(steps) for one in times if len(one)) / 3600)
