"""An event as it is being found, and what is said of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from msflow_stream.config.settings import ScoreKind
from msflow_stream.events.detection.regions import Tracker
from msflow_stream.events.detection.triggers import SLACK, Trigger
from msflow_stream.types import Box, Event, EventMessage, FrameScore, Severity

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")


RARER = (10, 1000)  # than at the threshold, by so many times: medium, high


FARTHER = (0.5, 1.0)  # above the threshold, in parts of its distance from what is normal: medium, high


def severity_of(trigger: Trigger, peak: float) -> Severity:
    """Of the highest smoothed score of a kind.

    Where the scene is calibrated for probabilities, medium is what a normal frame shows 10 times more rarely than a
    score at the threshold, and high 1000 times. Else, and where the tail ends before the threshold, it is how far above
    the threshold: by half the distance from the normal median to the threshold for medium, by all of it for high.
    Without a median it is the distance from 0.
    """
    at_threshold, at_peak = 0.0, 0.0
    if trigger.probability is not None:
        at_threshold, at_peak = trigger.probability(trigger.threshold), trigger.probability(peak)
    if at_peak < at_threshold:
        reached = [at_peak <= at_threshold / times for times in RARER]
    else:
        reached = [peak - trigger.threshold >= parts * trigger.reach for parts in FARTHER]
    return SEVERITIES[sum(reached)]


UPDATE_SECONDS = 1.0  # between messages, by the source's time


HIGHER = 0.05  # of the distance from normal to threshold: by so much must the peak have risen to be news


class OpenEvent:
    """Gathers an event from its first frame on, before it has lasted long enough to be one.

    Attributes:
        triggers: the one that it is drafted for first, then those that joined.
        last: time of the last activity, in seconds from the source's start.
    """

    def __init__(self, id: str, trigger: Trigger, first: FrameScore) -> None:
        self.id, self.triggers = id, [trigger]
        self._source, self._scene = first.source, first.scene
        self._start = self.last = first.time
        self._start_wall = self._last_wall = first.wall
        self._peaks: dict[ScoreKind, float] = {}
        self._peak: tuple[int, float, tuple[Box, ...]] = first.index, first.time, ()
        self._tracker = Tracker()
        self._version = 0
        self._told_at, self._told_peak = -math.inf, -math.inf
        self._told: tuple[object, ...] = ()

    def add(self, score: FrameScore, smoothed: Mapping[ScoreKind, float], boxes: Sequence[Box]) -> None:
        """A frame with activity, its smoothed scores and its regions."""
        self.last, self._last_wall = score.time, score.wall
        for kind, value in smoothed.items():
            if value > self._peaks.get(kind, -math.inf):
                self._peaks[kind] = min(value, sys.float_info.max)  # JSON has no infinity
                if kind == self.triggers[0].kind:
                    self._peak = score.index, score.time, tuple(boxes)
        self._tracker.update(score.time, boxes)

    def pause(self, time: float) -> None:
        """A frame without activity."""
        self._tracker.update(time, ())

    @property
    def _severity(self) -> Severity:
        """The highest that one of its triggers gives it."""
        found = (severity_of(trigger, self._peaks[trigger.kind]) for trigger in self.triggers)
        return max(found, key=SEVERITIES.index)

    def event(self, over: bool) -> Event:
        """How it stands; `over`: as ended by its last activity."""
        opener = self.triggers[0]
        peak = self._peaks[opener.kind]
        return Event(
            id=self.id,
            source=self._source,
            scene=self._scene,
            triggers=tuple(trigger.kind for trigger in self.triggers),
            start=self._start,
            end=self.last if over else None,
            start_wall=self._start_wall,
            end_wall=self._last_wall if over else None,
            peak_score=peak,
            peak_index=self._peak[0],
            peak_time=self._peak[1],
            probability=None if opener.probability is None else float(opener.probability(peak)),
            severity=self._severity,
            regions=self._peak[2],
            tracks=self._tracker.tracks,
            version=self._version,
        )

    def has_news(self, time: float) -> bool:
        """Whether something has changed that is worth a message, and the last one is long enough ago."""
        if time - self._told_at < UPDATE_SECONDS - SLACK:
            return False
        opener = self.triggers[0]
        risen = self._peaks[opener.kind] - self._told_peak > HIGHER * opener.reach
        return risen or self._told != self._matters()

    def tell(self, kind: Literal["open", "update", "close"], time: float) -> EventMessage:
        """The next message."""
        self._version += 1
        self._told_at, self._told_peak, self._told = time, self._peaks[self.triggers[0].kind], self._matters()
        return EventMessage(kind, self.event(over=kind == "close"))

    def _matters(self) -> tuple[object, ...]:
        return self._severity, len(self.triggers), self._tracker.steady
