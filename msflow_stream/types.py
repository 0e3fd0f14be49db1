"""The one currency of the pipeline: what flows from a source to a sink, and the error a person can mend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

# The field of FrameScore that each kind of score is in.
SCORE_FIELDS = {"paper": "score", "surprise": "surprise", "surprise_mean": "surprise_mean"}


class UserError(Exception):
    """Something a person can put right: one line that says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        source: name of the source, never a URL with credentials.
        index: position in the source, counted before anything is dropped or skipped.
        pts: presentation timestamp in the source's time base, None where the source has none.
        time: seconds from the source's start.
        wall: time of arrival, for live sources only.
        image: uint8 H x W x 3, RGB.
    """

    source: str
    index: int
    pts: int | None
    time: float
    wall: datetime | None
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What the scorer says about one frame; `map` is the anomaly map, float16 h x w.

    `score` is the paper's image score (relative to the frame's most normal place), `surprise` and
    `surprise_mean` are the absolute ones: the largest K and the mean of the negative log-likelihood map.
    """

    source: str
    scene: str
    index: int
    time: float
    wall: datetime | None
    score: float
    surprise: float
    surprise_mean: float
    map: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Event:
    """A span of a source in which the score stayed above the threshold.

    `end` is None while the event is open; `regions` are boxes (x, y, width, height) in source pixels at the peak.
    """

    id: str
    source: str
    scene: str
    start: float
    end: float | None
    peak_score: float
    peak_index: int
    regions: tuple[tuple[int, int, int, int], ...]
