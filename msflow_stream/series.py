"""Series over time: batches, labelled spans, and scores smoothed by a causal mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from msflow_stream.types import SCORE_KINDS, FrameScore, ScoreKind

SLACK = 0.002  # seconds: timestamps of some containers are whole milliseconds

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields lists of `size` items, the last one shorter (itertools.batched, which Python 3.11 lacks)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def labelled_spans(labels: npt.ArrayLike, rate: float) -> list[tuple[float, float]]:
    """Returns the spans (start, end) in seconds of consecutive nonzero labels, of `rate` frames per second."""
    flags = np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flags))
    return [(start / rate, end / rate) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


class Smoother:
    """An exponential mean over time, with no bias towards the first value.

    Args:
        seconds: time constant; 0 leaves values as they are.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sum = self._weight = 0.0
        self._time: float | None = None

    def __call__(self, time: float, value: float) -> float:
        """Returns the smoothed value at `time` (seconds), which never goes back."""
        if self.seconds <= 0 or not math.isfinite(value):  # one broken frame must not silence all later ones
            return value
        decay = 0.0 if self._time is None else math.exp(-max(0.0, time - self._time) / self.seconds)
        self._sum, self._weight, self._time = self._sum * decay + value, self._weight * decay + 1, time
        return self._sum / self._weight


def smooth(times: Sequence[float], values: Sequence[float], seconds: float) -> list[float]:
    """Returns a whole series smoothed."""
    smoother = Smoother(seconds)
    return [smoother(time, value) for time, value in zip(times, values, strict=True)]


def lasting(times: Sequence[float], values: Sequence[float], seconds: float) -> list[float]:
    """Returns the highest level that a series has been at or above for so long, at every time; -inf before that.

    An event opens at the times at which this is above its threshold, `seconds` being its least duration. What is not a
    number is below every level.
    """
    levels = [-math.inf if math.isnan(value) else value for value in values]
    found, first = [], 0
    for position, time in enumerate(times):
        while first < position and times[first + 1] <= time - seconds + SLACK:
            first += 1
        long_enough = times[first] <= time - seconds + SLACK
        found.append(min(levels[first : position + 1]) if long_enough else -math.inf)
    return found


class SmoothedScore(NamedTuple):
    """The scores of one frame and, by kind, the smoothed ones of its source up to then.

    A smoothed score may be infinite or not a number, as a broken frame's is.
    """

    score: FrameScore
    smoothed: Mapping[ScoreKind, float]


class ScoreSmoother:
    """The scores of one source, smoothed kind by kind; its rows and its events are made of the same values.

    Args:
        seconds: time constant; 0 leaves scores as they are.
    """

    def __init__(self, seconds: float) -> None:
        self._smoothers = {kind: Smoother(seconds) for kind in SCORE_KINDS}

    def __call__(self, score: FrameScore) -> SmoothedScore:
        """Returns the next frame's scores with the smoothed ones."""
        smoothed = {kind: smoother(score.time, score.scores.of(kind)) for kind, smoother in self._smoothers.items()}
        return SmoothedScore(score, smoothed)
