from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.evaluation.metrics.events import EventCriteria, matched, side_by_side
from msflow_stream.types import FoundEvent

Span = tuple[float, float]
TICKS = 40  # of half a second, in a clip
EVENTS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 3)).map(
        lambda e: FoundEvent(e[0] / 2, (e[0] + e[1]) / 2, (e[0] + e[2]) / 2)
    ),
    max_size=4,
)
SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda s: (s[0] / 2, (s[0] + s[1]) / 2)), max_size=4
)


def criteria(events: list[FoundEvent], spans: list[Span], seconds: float = 20.0) -> EventCriteria:
    found = EventCriteria()
    found.add(events, spans, seconds)
    return found


def overlap(event: FoundEvent, span: Span) -> bool:
    """By ticks in common; an event includes its end."""
    within = {t for t in range(TICKS) if event.start * 2 <= t <= event.end * 2}
    return bool(within & {t for t in range(TICKS) if span[0] * 2 <= t < span[1] * 2})


def shared(event: FoundEvent, span: Span) -> float:
    return max(0.0, min(event.end, span[1]) - max(event.start, span[0]))


def best_by_trial(events: list[FoundEvent], spans: list[Span]) -> tuple[int, float]:
    """The largest number of pairs, and the most time that so many share, by trying all ways."""
    best = (0, 0.0)
    for count in range(1, min(len(events), len(spans)) + 1):
        for rows in combinations(events, count):
            for columns in permutations(spans, count):
                if all(overlap(*pair) for pair in zip(rows, columns, strict=True)):
                    best = max(best, (count, sum(shared(*pair) for pair in zip(rows, columns, strict=True))))
    return best


@given(EVENTS, SPANS)
def test_pairs_are_as_many_as_can_be_and_share_the_most_time(events: list[FoundEvent], spans: list[Span]) -> None:
    pairs = matched(events, spans)
    assert len(set(pairs.values())) == len(pairs)
    assert all(overlap(events[row], spans[column]) for row, column in pairs.items())
    count, time = best_by_trial(events, spans)
    assert len(pairs) == count
    assert sum(shared(events[row], spans[column]) for row, column in pairs.items()) == pytest.approx(time)


@given(EVENTS, SPANS)
def test_precision_and_recall_are_shares_of_the_same_pairs(events: list[FoundEvent], spans: list[Span]) -> None:
    found, pairs = criteria(events, spans), len(matched(events, spans))
    assert found.precision == (pairs / len(events) if events else None)
    assert found.recall == (pairs / len(spans) if spans else None)
    assert found.spans_found + found.further + found.outside == found.events == len(events)


def test_one_event_over_four_violations_and_the_pauses_finds_one() -> None:
    spans = [(22.0, 28.0), (33.0, 36.0), (44.0, 46.0), (53.0, 55.0)]
    found = criteria([FoundEvent(22.0, 55.0, 22.4)], spans, seconds=60.0)
    assert (found.precision, found.recall) == (1.0, 0.25)
    assert found.labels_covered == 1.0
    assert found.time_outside == pytest.approx((1 + 4 + 3) / 33)  # pauses of 5, 8 and 7 s, less 2 s on either side
    assert (found.longest_event, found.longest_label) == (33.0, 6.0)
    assert [line.verdict for line in side_by_side([FoundEvent(22.0, 55.0, 22.4)], spans)] == [
        "found",
        "covered",
        "covered",
        "covered",
    ]


def test_of_several_events_in_a_span_one_is_its_own_and_the_others_are_no_false_alarms() -> None:
    found = criteria([FoundEvent(10.0, 11.0, 10.4), FoundEvent(12.0, 15.0, 12.4)], [(10.0, 16.0)], seconds=3600.0)
    assert (found.precision, found.recall) == (0.5, 1.0)
    assert (found.further, found.outside, found.false_alarms_per_hour) == (1, 0, 0.0)
    assert found.delays == [pytest.approx(2.4)], "of its own event, which shares the most time"


def test_time_near_a_label_is_not_outside() -> None:
    found = criteria([FoundEvent(8.0, 14.0, 8.4), FoundEvent(30.0, 34.0, 30.4)], [(10.0, 12.0)], seconds=40.0)
    assert found.time_outside == pytest.approx(4 / 10)
    assert found.labels_covered == 1.0


@given(EVENTS, SPANS)
def test_shares_of_time_are_those_of_fine_ticks(events: list[FoundEvent], spans: list[Span]) -> None:
    ticks = [t / 4 + 1 / 8 for t in range(-40, 160)]  # the middles of quarter seconds
    active = {t for t in ticks if any(e.start < t < e.end for e in events)}
    labelled = {t for t in ticks if any(s[0] < t < s[1] for s in spans)}
    near = {t for t in ticks if any(s[0] - 2 < t < s[1] + 2 for s in spans)}
    found = criteria(events, spans)
    assert found.labels_covered == (pytest.approx(len(active & labelled) / len(labelled)) if labelled else None)
    assert found.time_outside == (pytest.approx(len(active - near) / len(active)) if active else None)


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


def test_the_delay_is_from_the_span_s_start_to_its_event_s_first_message() -> None:
    found = criteria([FoundEvent(11.0, 15.0, 11.4)], [(10.0, 20.0), (30.0, 40.0)])
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
    nothing = criteria([], [], seconds=0.0)
    assert (nothing.precision, nothing.recall, nothing.time_to_detection) == (None, None, None)
    assert (nothing.alarms_per_hour, nothing.false_alarms_per_hour) == (None, None)
    assert (nothing.labels_covered, nothing.time_outside) == (None, None)
    assert (nothing.longest_event, nothing.longest_label) == (0.0, 0.0)


@given(st.lists(st.tuples(EVENTS, SPANS), max_size=4), st.integers(0, 4))
def test_clips_pool_their_counts_and_merging_is_adding(
    clips: list[tuple[list[FoundEvent], list[Span]]], cut: int
) -> None:
    whole, first, second = EventCriteria(), EventCriteria(), EventCriteria()
    for number, (events, spans) in enumerate(clips):
        whole.add(events, spans, 20.0)
        (first if number < cut else second).add(events, spans, 20.0)
    first.merge(second)
    assert first.delays == whole.delays
    assert vars(first) | {"delays": 0} == pytest.approx(vars(whole) | {"delays": 0})
    assert whole.events == sum(len(events) for events, _ in clips)
    assert whole.seconds == 20.0 * len(clips)


def test_pairs_stand_side_by_side_in_order_of_time() -> None:
    early, first, both, wrong = (
        FoundEvent(0, 1, 0.4),
        FoundEvent(4, 6, 4.4),
        FoundEvent(7, 12, 7.4),
        FoundEvent(20, 21, 20.4),
    )
    spans = [(5.0, 8.0), (11.0, 13.0), (15.0, 16.0)]
    assert side_by_side([early, first, both, wrong], spans) == [
        (None, early, "outside"),
        ((5.0, 8.0), first, "found"),
        ((11.0, 13.0), both, "found"),
        ((15.0, 16.0), None, "missed"),
        (None, wrong, "outside"),
    ]


@given(EVENTS, SPANS)
def test_every_event_and_span_has_one_line_and_the_verdicts_are_those_of_overlaps(
    events: list[FoundEvent], spans: list[Span]
) -> None:
    lines = side_by_side(events, spans)
    assert Counter(line.event for line in lines if line.event) == Counter(events)
    assert Counter(line.span for line in lines if line.span) == Counter(spans)
    for span, event, verdict in lines:
        if span is None and event is not None:
            assert verdict == ("further" if any(overlap(event, one) for one in spans) else "outside")
        elif span is not None and event is None:
            assert verdict == ("covered" if any(overlap(one, span) for one in events) else "missed")
        else:
            assert verdict == "found"
