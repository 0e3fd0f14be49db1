"""The currency of the pipeline: frames, scores and events on their way to a sink; the error a person can mend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import ClassVar, Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

ScoreKind = Literal["paper", "surprise", "surprise_mean", "motion", "combined"]
SCORE_KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)
SCORE_COLUMNS = ("score", *SCORE_KINDS[1:])  # of scores.csv and normal_scores.csv, one per kind
APPEARANCE_KINDS = SCORE_KINDS[:3]  # those of a single image, which the networks compute
PartName = Literal["appearance", "motion", "view"]  # of the combined score
TriggerName = Literal[ScoreKind, PartName]  # what an event is triggered by
WHOLE_VIEW = 0.5  # of the view: what looks unusual in more of it is about the view itself
Box = tuple[int, int, int, int]  # x, y, width, height in source pixels
Image = npt.NDArray[np.uint8]  # H x W x 3, RGB
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


class Pixels(Protocol):
    """The pixels of a frame, not yet an image: most are wanted small, and only a few by somebody who looks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The image's height and width, and 3."""

    @property
    def nbytes(self) -> int:
        """The size that they take."""

    def image(self) -> Image:
        """Returns the image; a second time it costs nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Attributes:
        source: name of the source, never a URL with credentials.
        index: position in the source, counted before anything is dropped or skipped.
        pts: presentation timestamp in the source's time base, None where the source has none.
        time: seconds from the source's start.
        wall: time of arrival, for live sources only.
        pixels: an image, uint8 H x W x 3, RGB, or what becomes one when somebody asks for it.
        earlier: the source about a tenth of a second before; None where that is not known: in the first frame, after a
            gap, in stills, or where nobody asked for it.
    """

    source: str
    index: int
    pts: int | None
    time: float
    wall: datetime | None
    pixels: Image | Pixels
    earlier: Earlier | None = None

    @property
    def image(self) -> Image:
        """The image, uint8 H x W x 3, RGB."""
        return self.pixels if isinstance(self.pixels, np.ndarray) else self.pixels.image()

    @property
    def shape(self) -> tuple[int, ...]:
        """The image's height, width and 3."""
        return self.pixels.shape

    @property
    def nbytes(self) -> int:
        """The size of its pixels."""
        return self.pixels.nbytes + (0 if self.earlier is None else self.earlier.image.nbytes)


class Scores(NamedTuple):
    """One value for every kind of score, in the order of SCORE_KINDS.

    Attributes:
        paper: the paper's image score, relative to the frame's most normal place.
        surprise, surprise_mean: the absolute ones, the largest K and the mean of the negative log-likelihood map.
        motion: the speed of what moves, in units of what is normal there in that direction; not a number where what
            moved is not known.
        combined: -log10 of the probability of a normal frame with such a surprise and such motion; not a number where
            the scene has no footage to tell.
    """

    paper: float
    surprise: float
    surprise_mean: float
    motion: float = math.nan
    combined: float = math.nan

    def of(self, kind: ScoreKind) -> float:
        """Returns the score of a kind."""
        value: float = getattr(self, kind)
        return value


class Motion(NamedTuple):
    """The most unusual motion of a frame.

    Attributes:
        right, down: velocity in image widths per second.
        limit: the most that is normal at that place in that direction, in the same unit.
        x, y: place, as shares of the image's width and height.
    """

    right: float
    down: float
    limit: float
    x: float
    y: float

    @property
    def speed(self) -> float:
        """Image widths per second."""
        return math.hypot(self.right, self.down)


class Why(NamedTuple):
    """The parts of a frame's combined score, appearance and motion as -log10 of the probability in a normal frame.

    Attributes:
        appearance: of the surprise, of its top or its mean.
        motion: of the motion; None where what moved is not known.
        view: share of the view that looks unusual, from 0 to 1; tells little where the appearance is normal.
        moved: the most unusual motion; None where nothing moves, or what moved is not known.
        x, y: where the appearance is most unusual, as shares of the image's width and height.
    """

    appearance: float
    motion: float | None
    view: float
    moved: Motion | None = None
    x: float = 0.5
    y: float = 0.5

    @property
    def trigger(self) -> PartName:
        """The part that says most."""
        moves = self.motion is not None and self.motion > self.appearance
        return "motion" if moves else self.looks

    @property
    def looks(self) -> PartName:
        """The part that its appearance is: one place's, or the whole view's."""
        return "view" if self.view > WHOLE_VIEW else "appearance"


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

    @property
    def motion(self) -> float:
        """The speed of what moves, in units of what is normal there; not a number where that is not known."""
        return self.scores.motion

    @property
    def combined(self) -> float:
        """How improbable appearance and motion are together, in powers of ten; not a number without a joint score."""
        return self.scores.combined


@dataclass(frozen=True, slots=True)
class FrameScore(Scored):
    """The scores of one frame.

    Attributes:
        map: the anomaly map, float16 h x w.
        reused: the frame showed nothing new and took the scores and the map of an earlier one.
        why: the parts of the combined score; None where there is none.
        excepted: the places of soft exceptions that count there: boxes x, y, width, height as shares of the view.
    """

    source: str
    scene: str
    index: int
    time: float
    wall: datetime | None
    scores: Scores
    map: npt.NDArray[np.float16]
    reused: bool = False
    why: Why | None = None
    excepted: tuple[tuple[float, float, float, float], ...] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows; only there is what draws it imported."""
        shown: str = import_module("msflow_stream.results.notebook").score_html(self)
        return shown


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
class Reason:
    """The reason of an event: what was unusual at the most unusual frame of what triggered it.

    Attributes:
        text: the same in words.
        trigger: the part of the combined score that it is about.
        index, time: the frame.
        appearance, motion: -log10 of the probability of each in a normal frame; None for a motion that is not known.
        view: share of the view that looks unusual, from 0 to 1.
        place: where, in words: of the motion, or of the most unusual appearance.
        at: the same as shares of the image's width and height.
        direction: that of the most unusual motion, in words; None, as all below, where nothing moved that is known of.
        velocity: to the right and down, in image widths per second.
        speed, limit: its amount, and the most that is normal there in that direction.
    """

    text: str
    trigger: PartName
    index: int
    time: float
    appearance: float
    motion: float | None
    view: float
    place: str
    at: tuple[float, float]
    direction: str | None = None
    velocity: tuple[float, float] | None = None
    speed: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A span of a source in which something is not normal.

    All times are seconds from the source's start; `wall` ones are times of arrival, for live sources only.

    Attributes:
        id: unique in all sources and for all times; fit for a file's name.
        triggers: the kinds of score that were above their thresholds, the one that opened it first. Instead of
            `combined` there are its parts: the one that said most in the first frame, and those that reached the
            threshold by themselves.
        end: of the last activity; None while the event is open.
        peak_score: the highest smoothed score of the kind that opened it, at peak_index and peak_time.
        probability: of so high a score in a normal frame; None where the scene is not calibrated for it.
        regions: boxes at the peak.
        tracks: all regions over time.
        version: counts the messages about the event; one with a lower version is old.
        why: what was unusual; None for events that the combined score has no part in, and those of earlier versions.
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
    why: Reason | None = None


@dataclass(frozen=True, slots=True)
class LeaseMark:
    """The mark of what a node made while it held the lease of a camera.

    Attributes:
        fence: the number of the lease.
        at: when it was made, by the clock of the database that gave the lease.
    """

    fence: int
    at: datetime


@dataclass(frozen=True, slots=True)
class EventMessage:
    """A message about an event: that it opened, how it is now, or that it is over.

    Attributes:
        lease: marks it for the store where many machines watch; None on one machine.
    """

    kind: Literal["open", "update", "close"]
    event: Event
    lease: LeaseMark | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow(Scored):
    """One scored frame as scores.csv holds it.

    `alarm` is 0 or 1; `probability` is that of so high a smoothed score in a normal frame, None where the scene is not
    calibrated for it. `reused` is 1 where the frame showed nothing new and took the scores of an earlier one. The
    motion has no text where what moved is not known: in the first frame, after a gap, in stills.
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
        known = (
            "" if math.isnan(one) and kind not in APPEARANCE_KINDS else f"{one:.7g}" for kind, one in self._kinds()
        )
        values = (*known, f"{self.smoothed:.7g}", f"{self.threshold:.7g}")
        chance = "" if self.probability is None else f"{self.probability:.7g}"
        return [str(self.index), f"{self.time:.6f}", *values, str(self.alarm), chance, str(self.reused)]

    def _kinds(self) -> Iterator[tuple[ScoreKind, float]]:
        return zip(SCORE_KINDS, self.scores, strict=True)

    @classmethod
    def from_cells(cls, cells: Sequence[str], columns: Sequence[str] = COLUMNS) -> ScoreRow:
        """Returns the row of such text; columns that earlier versions did not have may be missing.

        Raises:
            ValueError: text that is no such row.
        """
        named = {"probability": "", "reused": "0", **dict(zip(columns, cells, strict=True))}
        chance = named["probability"]
        return cls(
            index=int(named["index"]),
            time=float(named["time"]),
            scores=Scores(*(float(named.get(column) or "nan") for column in SCORE_COLUMNS)),
            smoothed=float(named["smoothed"]),
            threshold=float(named["threshold"]),
            alarm=int(named["alarm"]),
            probability=float(chance) if chance else None,
            reused=int(named["reused"]),
        )


class FoundEvent(NamedTuple):
    """An event that was found: its first and last activity, and when its first message came; seconds of the clip."""

    start: float
    end: float
    told: float
