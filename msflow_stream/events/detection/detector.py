"""Events: spans in which a smoothed score is above its threshold, what is said of them, and when they are over."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msflow_stream.config.settings import EventSettings, ScoreKind
from msflow_stream.events.detection.ids import event_id
from msflow_stream.events.detection.open_event import OpenEvent
from msflow_stream.events.detection.regions import regions_of
from msflow_stream.events.detection.triggers import SLACK, Trigger, TriggerState
from msflow_stream.types import Box, Event, EventMessage, FrameScore

PAUSE = 5.0  # seconds without a frame, beyond which what comes next has nothing to do with what was
STEPS = 4  # or so many times the shortest step between frames: they may be sampled that rarely


class EventDetector:
    """Finds the events of one source, one at a time; the same scores give the same events.

    An event begins when a trigger's smoothed score stays above its threshold for `min_duration`; its start is the
    first frame of that run. Then there is activity in every frame in which some score is above its threshold, and on
    until each that triggered is below its leave level. It is over when `cool_down` has passed without activity, or
    the source has paused for longer than that (and than 5 s). Its end is the last activity.

    Args:
        triggers: of the scene, as `triggers_of` finds them; without any there are no events.
        settings: when an event begins and when it is over.
        smoothing: seconds, the time constant of the causal mean.
        level: map values above it make regions.
        size: width and height of the source's pictures, for the boxes.
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
        self._gauges = [TriggerState(trigger, settings, smoothing) for trigger in triggers]
        compared = [(trigger.kind, trigger.threshold, trigger.normal) for trigger in triggers]
        self._origin = repr((origin, compared, settings.model_dump_json(), smoothing, level))
        self._event: OpenEvent | None = None
        self._drafts: dict[
            ScoreKind, OpenEvent
        ] = {}  # while there is no event: by the kind that is above its threshold
        self._time, self._shortest = -math.inf, math.inf  # of the last frame; step between frames

    @property
    def standing(self) -> Event | None:
        """The open event, its end set to its last activity so far; what to remember in case of a crash."""
        return None if self._event is None else self._event.event(over=True)

    def update(self, score: FrameScore) -> list[EventMessage]:
        """Takes the next scored frame in order; returns what is to be said."""
        messages = self.close() if self._interrupted(score.time) else []
        for gauge in self._gauges:
            gauge.read(score)
        active = self._is_active()
        if self._event is not None and self._is_over(score.time, active):
            messages += self._end()
        if self._event is None:
            messages += self._look(score)
        else:
            messages += self._go_on(self._event, score, active)
        self._time = score.time
        return messages

    def close(self) -> list[EventMessage]:
        """Ends an open event: the source has ended or was interrupted, or is compared with another scene from now."""
        for gauge in self._gauges:
            gauge.forget()
        self._drafts.clear()
        return self._end()

    def _interrupted(self, time: float) -> bool:
        """Whether the source has paused before the frame of that time."""
        step = time - self._time
        if SLACK < step < self._shortest:
            self._shortest = step
        return math.isfinite(step) and step > max(PAUSE, self._cool_down, STEPS * self._shortest)

    def _is_active(self) -> bool:
        joined = [] if self._event is None else self._event.triggers
        return any(gauge.above or (gauge.active and gauge.trigger in joined) for gauge in self._gauges)

    def _is_over(self, time: float, active: bool) -> bool:
        assert self._event is not None
        unbroken = active and self._event.last == self._time  # by a frame without activity
        return not unbroken and time - self._event.last > self._cool_down + SLACK

    def _end(self) -> list[EventMessage]:
        event, self._event = self._event, None
        return [] if event is None else [event.tell("close", self._time)]

    def _look(self, score: FrameScore) -> list[EventMessage]:
        """Whether an event begins."""
        above = [gauge.trigger for gauge in self._gauges if gauge.above]
        self._drafts = {trigger.kind: self._draft(trigger, score) for trigger in above}
        if above:
            boxes = self._regions(score)
            for draft in self._drafts.values():
                draft.add(score, self._smoothed, boxes)
        lasting = [gauge.trigger for gauge in self._gauges if gauge.lasting]
        if not lasting:
            return []
        self._event = self._drafts[lasting[0].kind]
        self._event.triggers += lasting[1:]
        self._drafts = {}
        return [self._event.tell("open", score.time)]

    def _draft(self, trigger: Trigger, score: FrameScore) -> OpenEvent:
        """The one that the frames before have begun, or a new one."""
        return self._drafts.get(trigger.kind) or OpenEvent(event_id(score, self._origin), trigger, score)

    def _go_on(self, event: OpenEvent, score: FrameScore, active: bool) -> list[EventMessage]:
        if active:
            event.add(score, self._smoothed, self._regions(score))
            event.triggers += [g.trigger for g in self._gauges if g.lasting and g.trigger not in event.triggers]
        else:
            event.pause(score.time)
        return [event.tell("update", score.time)] if event.has_news(score.time) else []

    @property
    def _smoothed(self) -> dict[ScoreKind, float]:
        return {gauge.trigger.kind: gauge.value for gauge in self._gauges}

    def _regions(self, score: FrameScore) -> tuple[Box, ...]:
        return regions_of(score.map, self._level, self.size)
