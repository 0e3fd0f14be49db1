"""The currency of the pipeline: frames, scores and events on their way to a sink; the error a person can mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

ScoreKind = Literal["paper", "surprise", "surprise_mean"]
SCORE_KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)
SCORE_COLUMNS = ("score", "surprise", "surprise_mean")  # of scores.csv and normal_scores.csv, one per kind
Box = tuple[int, int, int, int]  # x, y, width, height in source pixels
Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")  # in their order


class UserError(Exception):
    """A mistake that a person can put right: one line that says what is wrong and how to mend it."""


class Earlier(NamedTuple):
    """The same source a short moment before a frame, small and grey: what motion is seen against.

    Attributes:
        image: uint8 h x w, as `msflow_stream.video.motion.grey` makes it of an image.
        seconds: how much earlier than the frame, by the source's own time.
    """

    image: npt.NDArray[np.uint8]
    seconds: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Attributes:
        source: name of the source, never a URL with credentials.
        index: position in the source, counted before anything is dropped or skipped.
        pts: presentation timestamp in the source's time base, None where the source has none.
        time: seconds from the source's start.
        wall: time of arrival, for live sources only.
        image: uint8 H x W x 3, RGB.
        earlier: the source about a tenth of a second before; None where that is not known: in the first frame, after a
            gap, in stills, or where nobody asked for it.
    """

    source: str
    index: int
    pts: int | None
    time: float
    wall: datetime | None
    image: npt.NDArray[np.uint8]
    earlier: Earlier | None = None

    @property
    def nbytes(self) -> int:
        """The size of its images."""
        return self.image.nbytes + (0 if self.earlier is None else self.earlier.image.nbytes)


class Scores(NamedTuple):
    """One value for every kind of score, in the order of SCORE_KINDS.

    Attributes:
        paper: the paper's image score, relative to the frame's most normal place.
        surprise, surprise_mean: the absolute ones, the largest K and the mean of the negative log-likelihood map.
    """

    paper: float
    surprise: float
    surprise_mean: float

    def of(self, kind: ScoreKind) -> float:
        """Returns the score of a kind."""
        value: float = getattr(self, kind)
        return value


class Scored:
    """A thing with `scores`, each of which it has by its column's name, too."""

    __slots__ = ()
    scores: Scores

    @property
    def score(self) -> float:
        """The paper's image score."""
        return self.scores.paper

    @property
    def surprise(self) -> float:
        """The largest K of the negative log-likelihood map."""
        return self.scores.surprise

    @property
    def surprise_mean(self) -> float:
        """The mean of the negative log-likelihood map."""
        return self.scores.surprise_mean


@dataclass(frozen=True, slots=True)
class FrameScore(Scored):
    """The scores of one frame.

    Attributes:
        map: the anomaly map, float16 h x w.
        reused: the frame showed nothing new and took the scores and the map of an earlier one.
    """

    source: str
    scene: str
    index: int
    time: float
    wall: datetime | None
    scores: Scores
    map: npt.NDArray[np.float16]
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """A region of an event, followed from frame to frame while it overlaps itself.

    Attributes:
        number: from 1, within the event.
        start, end: when it was first and last seen, in seconds from the source's start.
        path: time and box, thinned out where there are many; the first and the last are always there.
    """

    number: int
    start: float
    end: float
    path: tuple[tuple[float, Box], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A span of a source in which something is not normal.

    All times are seconds from the source's start; `wall` ones are times of arrival, for live sources only.

    Attributes:
        id: unique in all sources and for all times; fit for a file's name.
        triggers: the kinds of score that were above their thresholds, the one that opened it first.
        end: of the last activity; None while the event is open.
        peak_score: the highest smoothed score of the kind that opened it, at peak_index and peak_time.
        probability: of so high a score in a normal frame; None where the scene is not calibrated for it.
        regions: boxes at the peak.
        tracks: all regions over time.
        version: counts the messages about the event; one with a lower version is old.
    """

    id: str
    source: str
    scene: str
    triggers: tuple[str, ...]
    start: float
    end: float | None
    start_wall: datetime | None
    end_wall: datetime | None
    peak_score: float
    peak_index: int
    peak_time: float
    probability: float | None
    severity: Severity
    regions: tuple[Box, ...]
    tracks: tuple[Track, ...]
    version: int


@dataclass(frozen=True, slots=True)
class EventMessage:
    """A message about an event: that it opened, how it is now, or that it is over."""

    kind: Literal["open", "update", "close"]
    event: Event


@dataclass(frozen=True, slots=True)
class ScoreRow(Scored):
    """One scored frame as scores.csv holds it.

    `alarm` is 0 or 1; `probability` is that of so high a smoothed score in a normal frame, None where the scene is not
    calibrated for it. `reused` is 1 where the frame showed nothing new and took the scores of an earlier one.
    """

    COLUMNS: ClassVar = ("index", "time", *SCORE_COLUMNS, "smoothed", "threshold", "alarm", "probability", "reused")

    index: int
    time: float
    scores: Scores
    smoothed: float
    threshold: float
    alarm: int
    probability: float | None = None
    reused: int = 0

    def cells(self) -> list[str]:
        """Returns the row as text, column by column."""
        values = (f"{value:.7g}" for value in (*self.scores, self.smoothed, self.threshold))
        chance = "" if self.probability is None else f"{self.probability:.7g}"
        return [str(self.index), f"{self.time:.6f}", *values, str(self.alarm), chance, str(self.reused)]

    @classmethod
    def from_cells(cls, cells: Sequence[str]) -> ScoreRow:
        """Returns the row of such text, of which the last two columns may be missing.

        Raises:
            ValueError: text that is no such row.
        """
        index, time, *others = cells
        scores, others = Scores(*map(float, others[: len(SCORE_KINDS)])), others[len(SCORE_KINDS) :]
        smoothed, threshold, alarm, chance, reused = (*others, *("", "0")[len(others) - 3 :])
        probability = float(chance) if chance else None
        return cls(
            int(index), float(time), scores, float(smoothed), float(threshold), int(alarm), probability, int(reused)
        )


class FoundEvent(NamedTuple):
    """An event that was found: its first and last activity, and when its first message came; seconds of the clip."""

    start: float
    end: float
    told: float
