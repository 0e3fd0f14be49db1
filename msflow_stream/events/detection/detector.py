"""The detector of events: spans in which a smoothed score is above its threshold, and the messages about them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.open_event import OpenEvent, event_id
from msflow_stream.events.detection.regions import regions_of
from msflow_stream.events.detection.triggers import Trigger, TriggerState
from msflow_stream.series import SLACK, SmoothedScore
from msflow_stream.types import Box, Event, EventMessage, FoundEvent, FrameScore, ScoreKind

GONE = 1.0  # seconds without its own activity after which an event ends where another one has begun
PAUSE = 5.0  # seconds without a frame, beyond which what comes next has nothing to do with what was
STEPS = 4  # or so many times the shortest step between frames: they may be sampled that rarely


class EventDetector:
    """Finds the events of one source, one at a time; the same scores give the same events.

    An event begins when a trigger's smoothed score stays above its threshold for `min_duration`; its start is the
    first frame of that run. There is activity in every frame in which a trigger that it has is acting: from its
    threshold on until it is below its release level. An event belongs to what triggered it: activity of a kind that
    it does not have, or out of reach of the places where it was (`Whereabouts`), is not its own. A kind whose run
    began during its activity, or within a second after it, joins it when that has lasted as long. Its end is its last
    activity. It is over when
    `cool_down` has passed since, or a second and something else has lasted long enough to be an event; or when the
    source has paused for longer than the cool-down (and than 5 s).

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
        self._level, self._cool_down, self._min_duration = level, settings.cool_down, settings.min_duration
        self._states = [TriggerState(trigger, settings) for trigger in triggers]
        compared = [(trigger.kind, trigger.threshold, trigger.normal) for trigger in triggers]
        self._origin = repr((origin, compared, settings.model_dump_json(), smoothing, level))
        self._event: OpenEvent | None = None
        self._candidates: dict[ScoreKind, OpenEvent] = {}  # of the kinds above their threshold, if not the event's own
        self._time, self._shortest = -math.inf, math.inf  # of the last frame; step between frames

    @property
    def open_event(self) -> Event | None:
        """The open event, its end set to its last activity so far; what to remember in case of a crash."""
        return None if self._event is None else self._event.event(over=True)

    def update(self, scored: SmoothedScore, regions: Sequence[Box] | None = None) -> list[EventMessage]:
        """Returns the messages after the next scored frame; frames come in their order.

        Args:
            scored: the frame's scores and its map.
            regions: the regions of its map, where they are known; None has them found.
        """
        time = scored.score.time
        messages = self.close() if self._interrupted(time) else []
        for state in self._states:
            state.update(scored.score.scores.of(state.trigger.kind), scored.smoothed[state.trigger.kind])
        boxes = self._regions(scored.score, regions)
        own = self._event is not None and self._is_own(self._event, time, boxes)
        if self._event is not None and self._is_over(self._event, time, own):
            messages, own = messages + self._end(), False
        self._gather(scored, boxes, own)
        if self._event is not None:
            own = self._go_on(self._event, scored, boxes, own)
        if self._event is not None and not own and time - self._event.last >= GONE - SLACK and self._lasting(time):
            messages += self._end()
        if self._event is None:
            messages += self._begin(time)
        elif self._event.has_news(time):
            messages.append(self._event.message("update", time))
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

    def _is_own(self, event: OpenEvent, time: float, boxes: Sequence[Box]) -> bool:
        """Returns True if a frame has activity of what triggered the event."""
        acting = any(state.acting and state.trigger in event.triggers for state in self._states)
        return acting and event.whereabouts.near(time, boxes, self.size)

    def _is_over(self, event: OpenEvent, time: float, own: bool) -> bool:
        unbroken = own and event.last == self._time  # by a frame without activity
        return not unbroken and time - event.last > self._cool_down + SLACK

    def _gather(self, scored: SmoothedScore, boxes: Sequence[Box], own: bool) -> None:
        """Adds the frame to what may become an event, one for each kind that is above its threshold."""
        has = self._event.triggers if self._event is not None and own else []
        candidates = {}
        for state in self._states:
            kind = state.trigger.kind
            candidate = self._candidates.get(kind)
            if not state.above or state.trigger in has or not (candidate or state.striking):
                continue
            candidates[kind] = candidate or OpenEvent(event_id(scored.score, self._origin), state.trigger, scored.score)
            if state.acting:
                candidates[kind].add(scored, boxes)
            else:
                candidates[kind].pause(scored.score.time)
        self._candidates = candidates

    def _lasting(self, time: float) -> list[OpenEvent]:
        """Returns what has lasted long enough to be an event, in the order of the triggers."""
        return [one for one in self._candidates.values() if time - one.start >= self._min_duration - SLACK]

    def _begin(self, time: float) -> list[EventMessage]:
        """Begins an event if a score has been above its threshold for long enough."""
        lasting = self._lasting(time)
        if not lasting:
            return []
        self._event = lasting[0]
        for one in lasting[1:]:
            self._event.join(one)
        for one in lasting:
            del self._candidates[one.triggers[0].kind]
        return [self._event.message("open", time)]

    def _go_on(self, event: OpenEvent, scored: SmoothedScore, boxes: Sequence[Box], own: bool) -> bool:
        """Adds the frame to the event, and the kinds that join it; returns True if either is activity of its own."""
        time = scored.score.time
        if own:
            event.add(scored, boxes)
        joining = [
            one
            for one in self._lasting(time)
            if one.start <= event.last + GONE + SLACK and one.triggers[0] not in event.triggers
        ]
        for one in joining:
            event.join(one)
            del self._candidates[one.triggers[0].kind]
        if joining and not own:
            event.add(scored, boxes)
        elif not own:
            event.pause(time)
        return own or bool(joining)

    def _end(self) -> list[EventMessage]:
        event, self._event = self._event, None
        if event is None:
            return []
        self._candidates = {kind: one for kind, one in self._candidates.items() if one.start > event.last}
        return [event.message("close", self._time)]

    def _regions(self, score: FrameScore, known: Sequence[Box] | None) -> Sequence[Box]:
        """Returns the regions of a frame with activity."""
        if not any(state.acting for state in self._states):
            return ()
        return regions_of(score.map, self._level, self.size) if known is None else known


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
