"""A rate over a rate: area up to a limit, and fewer points for a plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
        """The part from the first corner to x = limit, with its height there interpolated linearly."""
        inside = int(np.searchsorted(self.x, limit, side="right"))
        height = np.interp(limit, self.x, self.y)
        return Curve(np.append(self.x[:inside], limit), np.append(self.y[:inside], height))

    def mean(self, limit: float) -> float:
        """Mean height between 0 and the limit: the area under the curve there, divided by the limit."""
        part = self.until(limit)
        return float(np.trapezoid(part.y, part.x) / limit)

    def thinned(self, points: int) -> Curve:
        """At most `points` of the corners, the first and the last among them, spread evenly along the curve.

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
