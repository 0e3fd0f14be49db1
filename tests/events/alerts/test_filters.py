"""Which messages an alert is for: filters, and that who hears of a beginning hears of the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from msflow_stream.events.alerts.filters import AlertFilter
from msflow_stream.types import EventMessage
from tests.events.alerts.messages import a_message, life, settings

NOON = datetime(2026, 11, 23, 12, 0).astimezone()


class Listener:
    """A receiver behind filters, which knows what it was told of as the queue does."""

    def __init__(self, **filters: Any) -> None:
        self.now = NOON
        self._choice = AlertFilter(settings(type="jsonl", **filters), lambda: self.now)
        self._followed: set[str] = set()

    def hears(self, *messages: EventMessage) -> list[str]:
        """The kinds of those that get through."""
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
    assert Listener().hears(*life(updates=2)) == ["open", "update", "update", "close"]


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({"severity": "medium"}, True),
        ({"severity": "high"}, False),
        ({"cameras": ["yard", "gate"]}, True),
        ({"cameras": ["yard"]}, False),
        ({"triggers": ["surprise", "paper"]}, True),
        ({"triggers": ["surprise"]}, False),
        ({"quiet": [{"start": "11:00", "end": "12:00"}]}, True),
        ({"quiet": [{"start": "12:00", "end": "12:01"}]}, False),
        ({"quiet": [{"start": "22:00", "end": "06:30"}]}, True),
        ({"quiet": [{"start": "22:00", "end": "12:30"}]}, False),
    ],
)
def test_each_filter_keeps_out_what_it_names(filters: dict[str, Any], heard: bool) -> None:
    kinds = Listener(**filters).hears(*life(severity="medium"))
    assert kinds == (["open", "update", "close"] if heard else [])


def test_an_event_that_becomes_severe_begins_then() -> None:
    listener = Listener(severity="high")
    messages = [
        a_message("open"),
        a_message("update", version=2),
        a_message("update", version=3, severity="high"),
        a_message("close"),
    ]
    assert listener.hears(*messages) == ["open", "close"]


def test_an_event_that_is_severe_only_at_its_end_is_not_missed() -> None:
    messages = [a_message("open"), a_message("close", severity="high")]
    assert Listener(severity="high").hears(*messages) == ["close"]
    assert Listener(severity="high", kinds=["open"]).hears(*messages) == ["open"]


def test_the_end_comes_also_in_quiet_hours_and_of_an_event_that_became_harmless() -> None:
    listener = Listener(severity="medium", quiet=[{"start": "22:00", "end": "06:00"}])
    assert listener.hears(a_message("open", severity="high")) == ["open"]
    listener.now = NOON.replace(hour=23)
    assert listener.hears(a_message("update", severity="low"), a_message("close", severity="low")) == [
        "update",
        "close",
    ]
    assert listener.hears(*life("gate-2", severity="high")) == []


def test_only_the_kinds_asked_for() -> None:
    assert Listener(kinds=["open"]).hears(*life()) == ["open"]
    assert Listener(kinds=["open", "close"]).hears(*life()) == ["open", "close"]
    assert Listener(kinds=["close"]).hears(*life()) == ["close"]
    assert Listener(kinds=["update", "close"], cooldown=60).hears(*life(updates=2)) == ["update", "update", "close"]


def test_short_events_are_left_out_where_only_ends_are_asked_for() -> None:
    listener = Listener(kinds=["close"], duration=3)
    assert listener.hears(*life("short", lasted=2.9), *life("long", lasted=3.0)) == ["close"]


def test_after_an_event_its_camera_is_left_alone_for_a_while_and_no_other_one() -> None:
    listener = Listener(cooldown=60, kinds=["open", "close"])
    assert listener.hears(*life("gate-1")) == ["open", "close"]
    listener.now += timedelta(seconds=59)
    assert listener.hears(*life("gate-2")) == []
    assert listener.hears(*life("yard-1", source="yard")) == ["open", "close"]
    listener.now += timedelta(seconds=1)
    assert listener.hears(*life("gate-3")) == ["open", "close"]
