"""The filters of alerts: which messages each is for, and that who gets a beginning gets the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from msflow_stream.events.alerts.channel import AlertFilter
from msflow_stream.types import EventMessage
from tests.events.alerts.messages import a_message, life, settings

NOON = datetime(2026, 11, 23, 12, 0).astimezone()


class Receiver:
    """A receiver behind filters, which knows the events that it follows as the queue does."""

    def __init__(self, **filters: Any) -> None:
        self.now = NOON
        self._choice = AlertFilter(settings(type="jsonl", **filters), lambda: self.now)
        self._followed: set[str] = set()

    def kinds_of(self, *messages: EventMessage) -> list[str]:
        """Returns the kinds of those that get through."""
        kinds: list[str] = []
        for message in messages:
            chosen = self._choice(message, message.event.source, message.event.id in self._followed)
            if chosen is not None:
                kinds.append(chosen.kind)
                assert chosen.event == message.event
                if chosen.kind == "open":
                    self._followed.add(message.event.id)
            if message.kind == "close":
                self._followed.discard(message.event.id)
        return kinds


def test_without_filters_everything_gets_through() -> None:
    assert Receiver().kinds_of(*life(updates=2)) == ["open", "update", "update", "close"]


@pytest.mark.parametrize(
    ("filters", "received"),
    [
        ({"severity": "medium"}, True),
        ({"severity": "high"}, False),
        ({"cameras": ["yard", "gate"]}, True),
        ({"cameras": ["yard"]}, False),
        ({"triggers": ["surprise", "paper"]}, True),
        ({"triggers": ["surprise"]}, False),
        ({"triggers": ["motion", "view"]}, False),
        ({"quiet": [{"start": "11:00", "end": "12:00"}]}, True),
        ({"quiet": [{"start": "12:00", "end": "12:01"}]}, False),
        ({"quiet": [{"start": "22:00", "end": "06:30"}]}, True),
        ({"quiet": [{"start": "22:00", "end": "12:30"}]}, False),
    ],
)
def test_each_filter_keeps_out_what_it_names(filters: dict[str, Any], received: bool) -> None:
    kinds = Receiver(**filters).kinds_of(*life(severity="medium"))
    assert kinds == (["open", "update", "close"] if received else [])


def test_an_event_that_becomes_severe_begins_then() -> None:
    receiver = Receiver(severity="high")
    messages = [
        a_message("open"),
        a_message("update", version=2),
        a_message("update", version=3, severity="high"),
        a_message("close"),
    ]
    assert receiver.kinds_of(*messages) == ["open", "close"]


def test_an_event_that_is_severe_only_at_its_end_is_not_missed() -> None:
    messages = [a_message("open"), a_message("close", severity="high")]
    assert Receiver(severity="high").kinds_of(*messages) == ["close"]
    assert Receiver(severity="high", kinds=["open"]).kinds_of(*messages) == ["open"]


def test_the_end_comes_also_in_quiet_hours_and_of_an_event_that_became_harmless() -> None:
    receiver = Receiver(severity="medium", quiet=[{"start": "22:00", "end": "06:00"}])
    assert receiver.kinds_of(a_message("open", severity="high")) == ["open"]
    receiver.now = NOON.replace(hour=23)
    assert receiver.kinds_of(a_message("update", severity="low"), a_message("close", severity="low")) == [
        "update",
        "close",
    ]
    assert receiver.kinds_of(*life("gate-2", severity="high")) == []


def test_only_the_kinds_asked_for() -> None:
    assert Receiver(kinds=["open"]).kinds_of(*life()) == ["open"]
    assert Receiver(kinds=["open", "close"]).kinds_of(*life()) == ["open", "close"]
    assert Receiver(kinds=["close"]).kinds_of(*life()) == ["close"]
    assert Receiver(kinds=["update", "close"], cooldown=60).kinds_of(*life(updates=2)) == ["update", "update", "close"]


def test_short_events_are_left_out_where_only_ends_are_asked_for() -> None:
    receiver = Receiver(kinds=["close"], duration=3)
    assert receiver.kinds_of(*life("short", lasted=2.9), *life("long", lasted=3.0)) == ["close"]


def test_after_an_event_its_camera_is_left_alone_for_a_while_and_no_other_one() -> None:
    receiver = Receiver(cooldown=60, kinds=["open", "close"])
    assert receiver.kinds_of(*life("gate-1")) == ["open", "close"]
    receiver.now += timedelta(seconds=59)
    assert receiver.kinds_of(*life("gate-2")) == []
    assert receiver.kinds_of(*life("yard-1", source="yard")) == ["open", "close"]
    receiver.now += timedelta(seconds=1)
    assert receiver.kinds_of(*life("gate-3")) == ["open", "close"]
