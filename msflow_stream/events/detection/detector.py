"""The detector of events: spans in which a smoothed score is above its threshold, and the messages about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.open_event import OpenEvent, event_id
from msflow_stream.events.detection.regions import regions_of
from msflow_stream.events.detection.triggers import SLACK, Trigger, TriggerState
from msflow_stream.series import SmoothedScore
from msflow_stream.types import Box, Event, EventMessage, FoundEvent, FrameScore, ScoreKind

PAUSE = 5.0  # seconds without a frame, beyond which what comes next has nothing to do with what was
STEPS = 4  # or so many times the shortest step between frames: they may be sampled that rarely


class EventDetector:
    """Finds the events of one source, one at a time; the same scores give the same events.

    An event begins when a trigger's smoothed score stays above its threshold for `min_duration`; its start is the
    first frame of that run. Then there is activity in every frame in which some score is above its threshold, and on
    until each that triggered is below its release level. It is over when `cool_down` has passed without activity, or
    the source has paused for longer than that (and than 5 s). Its end is the last activity.

    Args:
        triggers: of the scene, as `triggers_of` finds them; without any there are no events.
        settings: when an event begins and when it is over.
        smoothing: seconds, the time constant that the scores are smoothed with; goes into the ids.
        level: map values above it make regions.
        size: width and height of the source's frames, for the boxes.
        origin: what tells the source from others of its name, such as a file's hash; goes into the ids.

    Attributes:
        size: may be changed when the source's does.
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        settings: EventSettings,
        *,
        smoothing: float,
        level: float,
        size: tuple[int, int],
        origin: str = "",
    ) -> None:
        self.size = size
        self._level, self._cool_down = level, settings.cool_down
        self._states = [TriggerState(trigger, settings) for trigger in triggers]
        compared = [(trigger.kind, trigger.threshold, trigger.normal) for trigger in triggers]
        self._origin = repr((origin, compared, settings.model_dump_json(), smoothing, level))
        self._event: OpenEvent | None = None
        self._candidates: dict[ScoreKind, OpenEvent] = {}  # while there is no event, of the kinds above their threshold
        self._time, self._shortest = -math.inf, math.inf  # of the last frame; step between frames

    @property
    def open_event(self) -> Event | None:
        """The open event, its end set to its last activity so far; what to remember in case of a crash."""
        return None if self._event is None else self._event.event(over=True)

    def update(self, scored: SmoothedScore) -> list[EventMessage]:
        """Returns the messages after the next scored frame; frames come in their order."""
        time = scored.score.time
        messages = self.close() if self._interrupted(time) else []
        for state in self._states:
            state.update(time, scored.smoothed[state.trigger.kind])
        active = self._is_active()
        if self._event is not None and self._is_over(time, active):
            messages += self._end()
        if self._event is None:
            messages += self._begin(scored)
        else:
            messages += self._go_on(self._event, scored, active)
        self._time = time
        return messages

    def close(self) -> list[EventMessage]:
        """Ends an open event: the source has ended or was interrupted, or is compared with another scene from now."""
        for state in self._states:
            state.reset()
        self._candidates.clear()
        return self._end()

    def _interrupted(self, time: float) -> bool:
        """Returns True if the source has paused before the frame of that time."""
        step = time - self._time
        if SLACK < step < self._shortest:
            self._shortest = step
        return math.isfinite(step) and step > max(PAUSE, self._cool_down, STEPS * self._shortest)

    def _is_active(self) -> bool:
        joined = [] if self._event is None else self._event.triggers
        return any(state.above or (state.active and state.trigger in joined) for state in self._states)

    def _is_over(self, time: float, active: bool) -> bool:
        assert self._event is not None
        unbroken = active and self._event.last == self._time  # by a frame without activity
        return not unbroken and time - self._event.last > self._cool_down + SLACK

    def _begin(self, scored: SmoothedScore) -> list[EventMessage]:
        """Begins an event if a score has been above its threshold for long enough."""
        above = [state.trigger for state in self._states if state.above]
        self._candidates = {trigger.kind: self._candidate(trigger, scored.score) for trigger in above}
        if above:
            boxes = self._regions(scored.score)
            for candidate in self._candidates.values():
                candidate.add(scored, boxes)
        lasting = [state.trigger for state in self._states if state.lasting]
        if not lasting:
            return []
        self._event = self._candidates[lasting[0].kind]
        self._event.triggers += lasting[1:]
        self._candidates = {}
        return [self._event.message("open", scored.score.time)]

    def _candidate(self, trigger: Trigger, score: FrameScore) -> OpenEvent:
        """Returns the one that the frames before have begun, or a new one."""
        return self._candidates.get(trigger.kind) or OpenEvent(event_id(score, self._origin), trigger, score)

    def _go_on(self, event: OpenEvent, scored: SmoothedScore, active: bool) -> list[EventMessage]:
        time = scored.score.time
        if active:
            event.add(scored, self._regions(scored.score))
            lasting = [state.trigger for state in self._states if state.lasting]
            event.triggers += [trigger for trigger in lasting if trigger not in event.triggers]
        else:
            event.pause(time)
        return [event.message("update", time)] if event.has_news(time) else []

    def _end(self) -> list[EventMessage]:
        event, self._event = self._event, None
        return [] if event is None else [event.message("close", self._time)]

    def _regions(self, score: FrameScore) -> tuple[Box, ...]:
        return regions_of(score.map, self._level, self.size)


class EventList:
    """The newest state of every event of a source, and when the first message about it came."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._told: dict[str, float] = {}

    def add(self, messages: Sequence[EventMessage], time: float) -> None:
        """Adds the messages after the frame of that time, in seconds from the source's start."""
        for message in messages:
            self._events[message.event.id] = message.event
            self._told.setdefault(message.event.id, time)

    @property
    def events(self) -> list[Event]:
        """The events in the order in which they began."""
        return list(self._events.values())

    @property
    def found(self) -> list[FoundEvent]:
        """The same for measuring them; an open one has been active until its first message, at least."""
        return [
            FoundEvent(event.start, self._told[id] if event.end is None else event.end, self._told[id])
            for id, event in self._events.items()
        ]


def find_events(detector: EventDetector, scores: Iterable[SmoothedScore]) -> list[FoundEvent]:
    """Returns the events in the scores of one whole source."""
    events = EventList()
    for scored in scores:
        events.add(detector.update(scored), scored.score.time)
    events.add(detector.close(), 0.0)
    return events.found
