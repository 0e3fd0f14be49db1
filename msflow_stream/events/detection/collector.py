"""The events of one source, gathered from what its detector says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.types import Event, EventMessage, FoundEvent, FrameScore


class EventList:
    """Keeps the newest of every event, and when it was first told of."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._told: dict[str, float] = {}

    def hear(self, messages: Sequence[EventMessage], time: float) -> None:
        """Takes what is said after the frame of that time, in seconds from the source's start."""
        for message in messages:
            self._events[message.event.id] = message.event
            self._told.setdefault(message.event.id, time)

    @property
    def events(self) -> list[Event]:
        """In the order in which they began."""
        return list(self._events.values())

    @property
    def found(self) -> list[FoundEvent]:
        """The same for measuring them; an open one has been active until it was told of, at least."""
        return [
            FoundEvent(event.start, self._told[id] if event.end is None else event.end, self._told[id])
            for id, event in self._events.items()
        ]


def find_events(detector: EventDetector, scores: Iterable[FrameScore]) -> list[FoundEvent]:
    """The events in the scores of one whole source."""
    heard = EventList()
    for score in scores:
        heard.hear(detector.update(score), score.time)
    heard.hear(detector.close(), 0.0)
    return heard.found
