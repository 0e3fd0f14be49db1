"""Any number of float16 values in constant memory: how often each of them occurred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PATTERNS = 2**16  # bit patterns of a float16
CHUNK = 2**18  # values counted at once: bincount widens them to eight bytes each


def halves(values: npt.ArrayLike) -> npt.NDArray[np.float16]:
    """Returns the values as float16, rounded to nearest; beyond 65504 they become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float16)


def ascending_values() -> npt.NDArray[np.float16]:
    """Returns all 65536 float16 in the order in which `ValueCounts.ascending` counts them; NaNs at both ends."""
    return _ascending_patterns().view(np.float16)


class ValueCounts:
    """Counts float16 values, each by 1 or by a weight.

    Attributes:
        counts: float64, by bit pattern: whole numbers are exact up to 2**53, 9e15 values.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(PATTERNS)  # sorting 65536 counts is cheaper than sorting pixels

    def add(self, values: npt.NDArray[np.float16], weights: npt.NDArray[np.float64] | None = None) -> None:
        """Adds values of any shape, and a weight for each of them (1 where there are none)."""
        bits = np.ascontiguousarray(values).view(np.uint16).ravel()
        for start in range(0, len(bits), CHUNK):
            part = slice(start, start + CHUNK)
            self.counts += np.bincount(bits[part], None if weights is None else weights[part], minlength=PATTERNS)

    def merge(self, other: ValueCounts) -> None:
        """Adds all that another one has counted."""
        self.counts += other.counts

    def ascending(self) -> npt.NDArray[np.float64]:
        """Returns 65536 counts in ascending order of the values, both zeros counted as one."""
        counts = self.counts[_ascending_patterns()]
        minus_zero, zero = PATTERNS // 2 - 1, PATTERNS // 2
        counts[zero] += counts[minus_zero]
        counts[minus_zero] = 0
        return counts

    def thresholds(self, number: int = 64, most: float = 0.5) -> npt.NDArray[np.float16]:
        """Returns values that cut off the highest: at the first only the maximum is left, at the last a share `most`.

        The shares between are spaced evenly in their logarithm. What one looks for covers little of a map, so
        quantiles at even distances would put nearly all thresholds where they tell nothing.

        Returns:
            Ascending, at most `number`; fewer where one value stands for several of the shares.
        """
        values, from_above = ascending_values()[::-1], np.cumsum(self.ascending()[::-1])
        if not from_above[-1]:
            return np.empty(0, np.float16)
        left = np.geomspace(1, max(1, most * from_above[-1]), number)
        return np.unique(values[np.searchsorted(from_above, left)])


def _ascending_patterns() -> npt.NDArray[np.uint16]:
    """The bit patterns in the order of their values: IEEE floats are a sign and a magnitude."""
    negative, positive = np.arange(PATTERNS - 1, PATTERNS // 2 - 1, -1), np.arange(PATTERNS // 2)
    return np.concatenate([negative, positive]).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Curve:
    """Corners of a rising curve, joined by straight lines and held after the last one.

    Attributes:
        x: float64 N, ascending; equal neighbours make a vertical step.
        y: float64 N, ascending.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]

    def until(self, limit: float) -> Curve:
        """Returns the part from the first corner to x = limit, with its height there interpolated linearly."""
        inside = int(np.searchsorted(self.x, limit, side="right"))
        height = np.interp(limit, self.x, self.y)
        return Curve(np.append(self.x[:inside], limit), np.append(self.y[:inside], height))

    def mean(self, limit: float) -> float:
        """Returns the mean height between 0 and the limit: the area under the curve there, divided by the limit."""
        part = self.until(limit)
        return float(np.trapezoid(part.y, part.x) / limit)

    def thinned(self, points: int) -> Curve:
        """Returns at most `points` of the corners, the first and the last among them, spread evenly along the curve.

        Evenly counts both axes, each in parts of its range, so neither a steep nor a flat stretch loses its shape: a
        corner that goes is less than 2 / (points - 1) of the ranges, both axes added, away from one that stays.
        """
        if len(self.x) <= points:
            return self
        way = np.zeros(len(self.x))
        for values in (self.x, self.y):
            if values[-1] > values[0]:
                way += (values - values[0]) / (values[-1] - values[0])
        chosen = np.unique(np.searchsorted(way, np.linspace(0, way[-1], points)))
        return Curve(self.x[chosen], self.y[chosen])
