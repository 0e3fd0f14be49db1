"""The events of one source, gathered from the messages of its detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.series import SmoothedScore
from msflow_stream.types import Event, EventMessage, FoundEvent


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
