"""The quality of events: which labelled spans they find, one to one, how soon, and how much of the time is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from msflow_stream.types import FoundEvent

HOUR = 3600.0
GRACE = 2.0  # seconds around a labelled span in which an event's time is not outside
Span = tuple[float, float]  # start and end in seconds; the end is not in it
Verdict = Literal["found", "missed", "covered", "further", "outside"]


class Beside(NamedTuple):
    """One line of events beside labels: a labelled span with its event, or what has no partner.

    Attributes:
        span, event: None where there is no partner.
        verdict: `found`, a pair; `missed`, a span that no event overlaps; `covered`, a span whose events belong to
            others; `further`, an event over a span that has another one; `outside`, an event over no span.
    """

    span: Span | None
    event: FoundEvent | None
    verdict: Verdict


def matched(events: Sequence[FoundEvent], spans: Sequence[Span]) -> dict[int, int]:
    """Returns pairs of an event and a labelled span that overlap, index to index, each in one pair at most.

    There are as many pairs as there can be and, of all ways to have so many, those that share the most time.
    """
    shape = len(events), len(spans)
    shared = np.array([_shared(event, span) for event in events for span in spans], float).reshape(shape)
    overlap = np.array([_overlap(event, span) for event in events for span in spans], bool).reshape(shape)
    one_more = 1 + shared[overlap].sum()  # outweighs all time that can be shared
    rows, columns = linear_sum_assignment(np.where(overlap, one_more + shared, 0), maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if overlap[row, column]}


def side_by_side(events: Sequence[FoundEvent], spans: Sequence[Span]) -> list[Beside]:
    """Returns every labelled span and every event in one line each, pairs in one line, in order of time."""
    pairs = matched(events, spans)
    lines = [Beside(spans[column], events[row], "found") for row, column in pairs.items()]
    for number, span in enumerate(spans):
        if number not in pairs.values():
            covered = any(_overlap(event, span) for event in events)
            lines.append(Beside(span, None, "covered" if covered else "missed"))
    for number, event in enumerate(events):
        if number not in pairs:
            inside = any(_overlap(event, span) for span in spans)
            lines.append(Beside(None, event, "further" if inside else "outside"))
    return sorted(lines, key=_when)


class EventCriteria:
    """Events beside labelled spans, of clips that come one by one.

    An event finds one span at most, and a span is found by one event at most (`matched`). So an event that lasts from
    one violation into the next finds one of them; how much of the labelled time it covers is told by `labels_covered`.
    A span is from its start up to, not including, its end; an event includes both ends. The delay of a span is from
    its start to when its event was told of; 0 if that was before.

    Attributes:
        seconds: length of all clips.
        events, spans: how many there are.
        further, outside: events without a span of their own that overlap a labelled one, or none.
        delays: delay of each span that was found, in seconds.
        labelled, inside: seconds that are labelled, and of them those within events.
        active, astray: seconds of events, and of them those further than 2 s from every labelled span.
        longest_event, longest_label: seconds; 0 without any.
    """

    def __init__(self) -> None:
        self.events = self.spans = self.further = self.outside = 0
        self.seconds = self.labelled = self.inside = self.active = self.astray = 0.0
        self.longest_event = self.longest_label = 0.0
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
        for span, event, verdict in side_by_side(events, spans):
            if span is not None and event is not None:
                self.delays.append(max(0.0, event.told - span[0]))
            self.further += verdict == "further"
            self.outside += verdict == "outside"
        self._add_time(_joined((event.start, event.end) for event in events), _joined(spans))
        self.longest_event = max([self.longest_event, *(event.end - event.start for event in events)])
        self.longest_label = max([self.longest_label, *(end - start for start, end in spans)])

    def _add_time(self, active: Sequence[Span], labelled: Sequence[Span]) -> None:
        near = _joined((start - GRACE, end + GRACE) for start, end in labelled)
        self.active += _length(active)
        self.astray += _length(active) - _common(active, near)
        self.labelled += _length(labelled)
        self.inside += _common(active, labelled)

    def merge(self, other: EventCriteria) -> None:
        """Adds all that another one has seen."""
        longest = {name: max(vars(self)[name], vars(other)[name]) for name in ("longest_event", "longest_label")}
        vars(self).update({name: value + vars(other)[name] for name, value in vars(self).items()} | longest)

    @property
    def spans_found(self) -> int:
        """Pairs of an event and a labelled span."""
        return len(self.delays)

    @property
    def precision(self) -> float | None:
        """The share of the events that have found a span; None without events."""
        return self.spans_found / self.events if self.events else None

    @property
    def recall(self) -> float | None:
        """The share of the labelled spans that are found; None without any."""
        return self.spans_found / self.spans if self.spans else None

    @property
    def labels_covered(self) -> float | None:
        """The share of the labelled time that is within events; None without labels."""
        return self.inside / self.labelled if self.labelled else None

    @property
    def time_outside(self) -> float | None:
        """The share of the events' time that is further than 2 s from every labelled span; None without such time."""
        return self.astray / self.active if self.active else None

    @property
    def alarms_per_hour(self) -> float | None:
        """Events per hour, right or wrong; None without footage."""
        return self.events * HOUR / self.seconds if self.seconds > 0 else None

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Events that overlap no labelled span, per hour of all footage; None without footage."""
        return self.outside * HOUR / self.seconds if self.seconds > 0 else None

    @property
    def time_to_detection(self) -> float | None:
        """Mean delay in seconds of the spans that are found; None without any."""
        return sum(self.delays) / len(self.delays) if self.delays else None


def _when(line: Beside) -> tuple[float, float]:
    """Spans by their start, events without one by theirs."""
    starts = [one[0] for one in (line.span, line.event) if one is not None]
    return starts[0], starts[-1]


def _overlap(event: FoundEvent, span: Span) -> bool:
    return event.start < span[1] and event.end >= span[0]


def _shared(event: FoundEvent, span: Span) -> float:
    """Seconds that are in both; 0 where they touch or lie apart."""
    return max(0.0, min(event.end, span[1]) - max(event.start, span[0]))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that lie apart, in order."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        else:
            result.append((start, end))
    return result


def _length(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)


def _common(first: Sequence[Span], second: Sequence[Span]) -> float:
    """Seconds that are in both of two lists whose spans lie apart."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)
