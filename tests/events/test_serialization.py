from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.events.serialization import event_from_json, event_to_json, from_json, to_json
from msflow_stream.types import Event, EventMessage, LeaseMark, Reason, Track
from tests.support.events import REASON

WALL = datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC)
EVENT = Event(
    id="gate-00000005",
    source="gate",
    scene="yard",
    triggers=("paper", "surprise"),
    start=0.2,
    end=None,
    start_wall=WALL,
    end_wall=None,
    peak_score=3.5,
    peak_index=10,
    peak_time=0.4,
    probability=0.001,
    severity="high",
    regions=((1, 2, 3, 4), (5, 6, 7, 8)),
    tracks=(Track(1, 0.2, 0.4, ((0.2, (1, 2, 3, 4)), (0.4, (2, 2, 3, 4)))),),
    version=3,
    why=REASON,
)
OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WALLS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=OFFSETS)
SECONDS = st.floats(0, 1e9)
BOXES = st.tuples(*[st.integers(-(2**31), 2**31)] * 4)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
REASONS = st.builds(
    Reason,
    time=SECONDS,
    appearance=FINITE,
    motion=st.none() | FINITE,
    view=FINITE,
    at=st.tuples(FINITE, FINITE),
    velocity=st.none() | st.tuples(FINITE, FINITE),
    speed=st.none() | FINITE,
    limit=st.none() | FINITE,
)
EVENTS = st.builds(
    Event,
    start=SECONDS,
    end=st.none() | SECONDS,
    start_wall=WALLS,
    end_wall=WALLS,
    peak_score=FINITE,
    why=st.none() | REASONS,
    peak_time=SECONDS,
    probability=st.none() | st.floats(0, 1),
    regions=st.lists(BOXES, max_size=3).map(tuple),
    tracks=st.lists(
        st.builds(Track, start=SECONDS, end=SECONDS, path=st.lists(st.tuples(SECONDS, BOXES), max_size=3).map(tuple)),
        max_size=2,
    ).map(tuple),
)


@given(st.builds(EventMessage, event=EVENTS))
def test_a_message_comes_back_as_it_was(message: EventMessage) -> None:
    assert from_json(json.loads(json.dumps(to_json(message)))) == message


def test_a_message_is_its_kind_and_the_event_in_the_words_of_the_types() -> None:
    values = to_json(EventMessage("open", EVENT))
    assert values == {
        "kind": "open",
        "event": {
            "id": "gate-00000005",
            "source": "gate",
            "scene": "yard",
            "triggers": ["paper", "surprise"],
            "start": 0.2,
            "end": None,
            "start_wall": "2026-01-02T03:04:05.060000Z",
            "end_wall": None,
            "peak_score": 3.5,
            "peak_index": 10,
            "peak_time": 0.4,
            "probability": 0.001,
            "severity": "high",
            "regions": [[1, 2, 3, 4], [5, 6, 7, 8]],
            "tracks": [{"number": 1, "start": 0.2, "end": 0.4, "path": [[0.2, [1, 2, 3, 4]], [0.4, [2, 2, 3, 4]]]}],
            "version": 3,
            "why": {
                "text": REASON.text,
                "trigger": "motion",
                "index": 10,
                "time": 0.4,
                "appearance": 0.5,
                "motion": 6.0,
                "view": 0.25,
                "place": "at the lower left",
                "at": [0.1, 0.9],
                "direction": "to the left",
                "velocity": [-0.11, 0.0],
                "speed": 0.11,
                "limit": 0.032,
            },
        },
    }
    assert values["event"] == event_to_json(EVENT)


def test_times_of_arrival_are_in_utc_wherever_the_camera_is() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    values = event_to_json(replace(EVENT, start_wall=WALL.astimezone(kathmandu)))
    assert values["start_wall"] == "2026-01-02T03:04:05.060000Z"
    values["start_wall"] = "2026-01-02T08:49:05.06+05:45"
    found = event_from_json(values).start_wall
    assert (found, found and found.tzinfo) == (WALL, UTC)


def test_an_event_from_before_events_had_reasons_has_none() -> None:
    values = {name: value for name, value in event_to_json(EVENT).items() if name != "why"}
    assert event_from_json(values) == replace(EVENT, why=None)


def test_what_a_later_version_says_beside_it_is_left_out() -> None:
    values = to_json(EventMessage("close", EVENT))
    assert from_json({**values, "sent": 1, "event": {**values["event"], "plate": "unknown"}}).event == EVENT


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "opened"}, "kind: Input should be 'open', 'update' or 'close'"),
        ({"event": None}, "event: "),
        ({"event": {**event_to_json(EVENT), "severity": "huge"}}, "event.severity: "),
        ({"event": {**event_to_json(EVENT), "regions": [[1, 2, 3]]}}, "event.regions.0.3: Field required"),
        ({"event": {**event_to_json(EVENT), "start_wall": "yesterday"}}, "event.start_wall: "),
    ],
)
def test_what_is_no_message_is_refused_in_one_line_that_says_where(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match="not an event's JSON") as refused:
        from_json({**to_json(EventMessage("open", EVENT)), **change})
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("values", [None, [], "open", 5, {}])
def test_other_json_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="not an event's JSON"):
        from_json(values)
    with pytest.raises(ValueError, match="not an event's JSON"):
        event_from_json(values)


def test_the_mark_of_a_lease_comes_along_and_messages_without_are_as_ever() -> None:
    marked = EventMessage("open", EVENT, LeaseMark(7, WALL))
    assert from_json(json.loads(json.dumps(to_json(marked)))) == marked
    assert "lease" not in to_json(EventMessage("open", EVENT))
