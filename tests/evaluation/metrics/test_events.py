from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.evaluation.metrics.events import EventCriteria, side_by_side
from msflow_stream.types import FoundEvent

TICKS = 40  # of half a second, in a clip
EVENTS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 3)).map(
        lambda e: FoundEvent(e[0] / 2, (e[0] + e[1]) / 2, (e[0] + e[2]) / 2)
    ),
    max_size=6,
)
SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda s: (s[0] / 2, (s[0] + s[1]) / 2)), max_size=4
)


def criteria(events: list[FoundEvent], spans: list[tuple[float, float]], seconds: float = 20.0) -> EventCriteria:
    found = EventCriteria()
    found.add(events, spans, seconds)
    return found


@given(EVENTS, SPANS)
def test_precision_and_recall_are_those_of_frames_in_common(
    events: list[FoundEvent], spans: list[tuple[float, float]]
) -> None:
    within = [{t for t in range(TICKS) if e.start * 2 <= t <= e.end * 2} for e in events]
    labelled = [{t for t in range(TICKS) if s[0] * 2 <= t < s[1] * 2} for s in spans]
    found = criteria(events, spans)
    right = [any(one & other for other in labelled) for one in within]
    seen = [any(one & other for one in within) for other in labelled]
    assert found.precision == (sum(right) / len(right) if right else None)
    assert found.recall == (sum(seen) / len(seen) if seen else None)


def test_events_that_end_before_a_span_or_begin_with_its_end_do_not_overlap_it() -> None:
    spans = [(10.0, 12.0)]
    for event, overlaps in [
        (FoundEvent(8.0, 9.9, 9.0), False),
        (FoundEvent(8.0, 10.0, 9.0), True),
        (FoundEvent(11.9, 15.0, 13.0), True),
        (FoundEvent(12.0, 15.0, 13.0), False),
        (FoundEvent(11.0, 11.0, 11.4), True),
        (FoundEvent(0.0, 20.0, 1.0), True),
    ]:
        assert criteria([event], spans).recall == float(overlaps), event


def test_the_delay_is_from_the_span_s_start_to_the_first_message() -> None:
    found = criteria([FoundEvent(11.0, 15.0, 11.4), FoundEvent(10.5, 12.0, 12.0)], [(10.0, 20.0), (30.0, 40.0)])
    assert found.delays == [pytest.approx(1.4)]
    assert found.time_to_detection == pytest.approx(1.4)
    assert found.recall == 0.5


def test_an_event_that_was_told_of_before_the_span_began_is_no_delay() -> None:
    assert criteria([FoundEvent(5.0, 15.0, 5.4)], [(10.0, 20.0)]).delays == [0.0]


def test_alarms_are_counted_per_hour_of_footage() -> None:
    found = criteria(
        [FoundEvent(1.0, 2.0, 1.4), FoundEvent(5.0, 6.0, 5.4), FoundEvent(9.0, 9.0, 9.4)], [(5.5, 5.8)], seconds=1800.0
    )
    assert found.alarms_per_hour == 6.0
    assert found.false_alarms_per_hour == 4.0


def test_nothing_is_no_number() -> None:
    nothing = EventCriteria()
    assert (nothing.precision, nothing.recall, nothing.time_to_detection) == (None, None, None)
    assert (nothing.alarms_per_hour, nothing.false_alarms_per_hour) == (None, None)


@given(st.lists(st.tuples(EVENTS, SPANS), max_size=4), st.integers(0, 4))
def test_clips_pool_their_counts_and_merging_is_adding(
    clips: list[tuple[list[FoundEvent], list[tuple[float, float]]]], cut: int
) -> None:
    whole, first, second = EventCriteria(), EventCriteria(), EventCriteria()
    for number, (events, spans) in enumerate(clips):
        whole.add(events, spans, 20.0)
        (first if number < cut else second).add(events, spans, 20.0)
    first.merge(second)
    assert vars(first) == vars(whole)
    assert whole.events == sum(len(events) for events, _ in clips)
    assert whole.seconds == 20.0 * len(clips)


def test_what_overlaps_stands_side_by_side_in_order_of_time() -> None:
    early, first, both, wrong = (
        FoundEvent(0, 1, 0.4),
        FoundEvent(4, 6, 4.4),
        FoundEvent(7, 12, 7.4),
        FoundEvent(20, 21, 20.4),
    )
    spans = [(5.0, 8.0), (11.0, 13.0), (15.0, 16.0)]
    assert side_by_side([early, first, both, wrong], spans) == [
        (None, early),
        ((5.0, 8.0), first),
        ((5.0, 8.0), both),
        ((11.0, 13.0), both),
        ((15.0, 16.0), None),
        (None, wrong),
    ]


@given(EVENTS, SPANS)
def test_every_event_and_span_has_its_line_and_those_alone_are_the_wrong_and_the_missed(
    events: list[FoundEvent], spans: list[tuple[float, float]]
) -> None:
    pairs, found = side_by_side(events, spans), criteria(events, spans)
    assert {event for _, event in pairs if event} == set(events)
    assert {span for span, _ in pairs if span} == set(spans)
    assert sum(span is None for span, _ in pairs) == found.events - found.right
    assert sum(event is None for _, event in pairs) == found.spans - len(found.delays)
