"""Causal smoothing of scores: what a live stream can know at the time."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Smoother:
    """Exponential mean over time, with no bias towards the first value.

    Args:
        seconds: time constant; 0 leaves scores as they are.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sum = self._weight = 0.0
        self._time: float | None = None

    def __call__(self, time: float, value: float) -> float:
        """The smoothed value at `time` (seconds), which never goes back."""
        if self.seconds <= 0 or not math.isfinite(value):  # one broken frame must not silence all later ones
            return value
        decay = 0.0 if self._time is None else math.exp(-max(0.0, time - self._time) / self.seconds)
        self._sum, self._weight, self._time = self._sum * decay + value, self._weight * decay + 1, time
        return self._sum / self._weight


def smooth(times: Sequence[float], values: Sequence[float], seconds: float) -> list[float]:
    """A whole series at once."""
    smoother = Smoother(seconds)
    return [smoother(time, value) for time, value in zip(times, values, strict=True)]
