"""An event while it is being found: its peak, its severity, its tracks, and the messages about it."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Literal

from msflow_stream.events.detection.reasons import Parts
from msflow_stream.events.detection.regions import Tracker, Whereabouts
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.files import file_hash
from msflow_stream.names import portable_name
from msflow_stream.series import SLACK, SmoothedScore
from msflow_stream.types import SEVERITIES, Box, Event, EventMessage, FrameScore, Severity
from msflow_stream.video.reading.image_folder import image_files

RARER = (10, 1000)  # than at the threshold, by so many times: medium, high
FARTHER = (0.5, 1.0)  # above the threshold, in parts of its distance from what is normal: medium, high
UPDATE_SECONDS = 1.0  # between messages, by the source's time
HIGHER = 0.05  # of the distance from normal to threshold: by so much must the peak have risen to be news
NAME_LENGTH = 64  # characters of a source's name in an event's id


def severity_of(trigger: Trigger, peak: float) -> Severity:
    """Returns the severity of the highest smoothed score of a kind.

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
        reached = [peak - trigger.threshold >= parts * trigger.margin for parts in FARTHER]
    return SEVERITIES[sum(reached)]


class OpenEvent:
    """Gathers an event from its first frame on, before it has lasted long enough to be one.

    Attributes:
        triggers: the one that may open it first, then those that joined.
        start, last: times of the first and the last activity, in seconds from the source's start.
        whereabouts: where the activity was.
    """

    def __init__(self, id: str, trigger: Trigger, first: FrameScore) -> None:
        """Begins with the first frame above the trigger's threshold."""
        self.id, self.triggers = id, [trigger]
        self._source, self._scene = first.source, first.scene
        self.start = self.last = first.time
        self._start_wall = self._last_wall = first.wall
        self._peaks: dict[str, float] = {}
        self._peak: tuple[int, float, tuple[Box, ...]] = first.index, first.time, ()
        self._parts = Parts()
        self.whereabouts = Whereabouts()
        self._tracker = Tracker()
        self._version = 0
        self._sent_at, self._sent_peak = -math.inf, -math.inf
        self._sent: tuple[object, ...] = ()

    def add(self, scored: SmoothedScore, boxes: Sequence[Box]) -> None:
        """Adds a frame with activity and its regions."""
        score = scored.score
        self.last, self._last_wall = score.time, score.wall
        for kind, value in scored.smoothed.items():
            if value > self._peaks.get(kind, -math.inf):
                self._peaks[kind] = min(value, sys.float_info.max)  # JSON has no infinity
                if kind == self.triggers[0].kind:
                    self._peak = score.index, score.time, tuple(boxes)
        for trigger in self.triggers:
            if trigger.kind == "combined":
                self._parts.add(score, trigger.threshold)
        self._tracker.update(score.time, boxes)
        self.whereabouts.add(score.time, boxes)

    def join(self, other: OpenEvent) -> None:
        """Adds the trigger of what might have become an event of its own, and how high its score was."""
        kind = other.triggers[0].kind
        self.triggers += other.triggers
        if kind == "combined":
            self._parts = other._parts
        self._peaks[kind] = max(self._peaks.get(kind, -math.inf), other._peaks[kind])

    def pause(self, time: float) -> None:
        """Notes a frame without activity."""
        self._tracker.update(time, ())

    def event(self, over: bool) -> Event:
        """Returns the event so far; `over`: as ended by its last activity."""
        opener = self.triggers[0]
        peak = self._peaks[opener.kind]
        return Event(
            id=self.id,
            source=self._source,
            scene=self._scene,
            triggers=self._names,
            start=self.start,
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
            why=self._parts.reason,
        )

    def has_news(self, time: float) -> bool:
        """Returns True if something has changed that is worth a message, and the last one is long enough ago."""
        if time - self._sent_at < UPDATE_SECONDS - SLACK:
            return False
        opener = self.triggers[0]
        risen = self._peaks[opener.kind] - self._sent_peak > HIGHER * opener.margin
        return risen or self._sent != self._newsworthy()

    def message(self, kind: Literal["open", "update", "close"], time: float) -> EventMessage:
        """Returns the next message, which gets the next version."""
        self._version += 1
        self._sent_at, self._sent_peak, self._sent = time, self._peaks[self.triggers[0].kind], self._newsworthy()
        return EventMessage(kind, self.event(over=kind == "close"))

    @property
    def _severity(self) -> Severity:
        """The highest that one of its triggers gives it."""
        found = (severity_of(trigger, self._peaks[trigger.kind]) for trigger in self.triggers)
        return max(found, key=SEVERITIES.index)

    @property
    def _names(self) -> tuple[str, ...]:
        """Its kinds of score, the combined one by its parts."""
        names: list[str] = []
        for trigger in self.triggers:
            parts = self._parts.names if trigger.kind == "combined" else []
            names += parts or [trigger.kind]
        return tuple(names)

    def _newsworthy(self) -> tuple[object, ...]:
        return self._severity, self._names, self._tracker.steady


def event_id(first: FrameScore, origin: str) -> str:
    """Returns the id of the event that begins with a frame, such as gate-20261123T232138.200Z-7f3a90c2.

    A frame of a file has its index for a time, and the same id whenever the file is scored in the same way.

    Args:
        first: the first frame of the event.
        origin: whatever else tells events apart that have source, scene, and index or time of arrival in common.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", first.source)[:NAME_LENGTH].strip("._-") or "source"
    arrival = "" if first.wall is None else first.wall.astimezone(UTC).isoformat(timespec="microseconds")
    facts = "\0".join((origin, first.source, first.scene, str(first.index), arrival))
    digest = hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:8]
    when = f"{re.sub('[-:]', '', arrival[:23])}Z" if arrival else f"{first.index:08d}"
    return portable_name(f"{name}-{when}-{digest}")


def origin_of(path: Path) -> str:
    """Returns a hash of the content of a video or a folder of images, which tells it from others of its name."""
    if not path.is_dir():
        return file_hash(path)
    return hashlib.sha256("".join(map(file_hash, image_files(path))).encode()).hexdigest()
