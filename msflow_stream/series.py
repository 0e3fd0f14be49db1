"""Grouping an iterable into batches (itertools.batched, which Python 3.11 lacks)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter; the source is closed with the batches."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def labelled_spans(labels: npt.ArrayLike, rate: float) -> list[tuple[float, float]]:
    """Spans (start, end) in seconds of consecutive nonzero labels, one label per frame at `rate` frames per second."""
    flags = np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flags))
    return [(start / rate, end / rate) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


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
