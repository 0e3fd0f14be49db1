"""The quality of events: which labelled spans they find, how soon, and how often they are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from msflow_stream.types import FoundEvent

HOUR = 3600.0
Span = tuple[float, float]  # start and end in seconds; the end is not in it


class EventCriteria:
    """Precision, recall and delay of events, of clips that come one by one.

    An event is right if it overlaps a labelled span, and a span is found if an event overlaps it: one event can find
    many spans, and many can be right about one. A span is from its start up to, not including, its end; an event
    includes both ends. The delay of a span is from its start to when the first event that overlaps it was told of; 0
    if that was before.

    Attributes:
        seconds: length of all clips.
        events, right: how many were found, and of them were right.
        spans: number of labelled spans.
        delays: delay of each span that was found, in seconds.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.events = self.right = self.spans = 0
        self.delays: list[float] = []

    def add(self, events: Sequence[FoundEvent], spans: Sequence[Span], seconds: float) -> None:
        """Adds a clip.

        Args:
            events: those that were found in it.
            spans: start and end of what is labelled in it, in seconds.
            seconds: its length.
        """
        self.seconds += seconds
        self.events += len(events)
        self.spans += len(spans)
        self.right += sum(any(_overlap(event, span) for span in spans) for event in events)
        for span in spans:
            told = [event.told for event in events if _overlap(event, span)]
            if told:
                self.delays.append(max(0.0, min(told) - span[0]))

    def merge(self, other: EventCriteria) -> None:
        """Adds all that another one has seen."""
        self.seconds += other.seconds
        self.events += other.events
        self.right += other.right
        self.spans += other.spans
        self.delays += other.delays

    @property
    def precision(self) -> float | None:
        """The share of the events that are right; None without events."""
        return self.right / self.events if self.events else None

    @property
    def recall(self) -> float | None:
        """The share of the labelled spans that are found; None without any."""
        return len(self.delays) / self.spans if self.spans else None

    @property
    def alarms_per_hour(self) -> float | None:
        """Events per hour, right or wrong; None without footage."""
        return self.events * HOUR / self.seconds if self.seconds > 0 else None

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Wrong events per hour of all footage; None without footage."""
        return (self.events - self.right) * HOUR / self.seconds if self.seconds > 0 else None

    @property
    def time_to_detection(self) -> float | None:
        """Mean delay in seconds of the spans that are found; None without any."""
        return sum(self.delays) / len(self.delays) if self.delays else None


def side_by_side(events: Sequence[FoundEvent], spans: Sequence[Span]) -> list[tuple[Span | None, FoundEvent | None]]:
    """Returns each labelled span beside each event that overlaps it, in order of time; None where one has no other.

    So a span without an event is missed, and an event without a span is wrong.
    """
    pairs: list[tuple[Span | None, FoundEvent | None]] = []
    for span in spans:
        overlapping = [event for event in events if _overlap(event, span)]
        pairs += [(span, event) for event in overlapping] or [(span, None)]
    pairs += [(None, event) for event in events if not any(_overlap(event, span) for span in spans)]
    return sorted(pairs, key=_when)


def _when(pair: tuple[Span | None, FoundEvent | None]) -> tuple[float, float]:
    """Spans by their start, events without one by theirs."""
    starts = [one[0] for one in pair if one is not None]
    return starts[0], starts[-1]


def _overlap(event: FoundEvent, span: Span) -> bool:
    return event.start < span[1] and event.end >= span[0]
