"""The check of leases and events finds what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msflow_stream.events.store.leases import LeaseSpan
from tests.cluster.lease_check import SavedEvent, doubled, left_open, overlaps, strays

START = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(fence: int, begin: float, end: float, ended: str | None = "expired") -> LeaseSpan:
    return LeaseSpan("gate", fence, f"n{fence}", at(begin), at(end), ended)


def seen(id: str, begin: float, end: float | None, fence: int | None = 1) -> SavedEvent:
    return SavedEvent(id, "gate", at(begin), None if end is None else at(end), end, fence)


GOOD = {"gate": [span(1, 0, 30), span(2, 30, 60, None)]}


def test_leases_that_follow_each_other_are_right_and_others_are_not() -> None:
    assert list(overlaps(GOOD)) == []
    assert "for 2.000 s at once" in next(overlaps({"gate": [span(1, 0, 32), span(2, 30, 60)]}))
    assert "followed by 3" in next(overlaps({"gate": [span(1, 0, 30), span(3, 30, 60)]}))
    assert "has no end" in next(overlaps({"gate": [span(1, 0, 30, None), span(2, 30, 60)]}))


def test_an_event_that_two_nodes_saw_is_found() -> None:
    assert list(doubled([seen("a", 1, 5), seen("b", 5, 9), seen("c", 20, None)])) == []
    assert "events a and b overlap by 1.000 s" in next(doubled([seen("b", 4, 9), seen("a", 1, 5)]))


def test_an_event_that_nobody_ends_is_found() -> None:
    assert list(left_open(GOOD, [seen("a", 31, None, 2)], running=True)) == []
    assert "a is open" in next(left_open(GOOD, [seen("a", 1, None, 1)], running=True))
    assert "a is open" in next(left_open(GOOD, [seen("a", 31, None, 2)], running=False))


def test_an_event_outside_its_nodes_time_is_found() -> None:
    assert list(strays(GOOD, [seen("a", 1, 29), seen("b", 20, 30, 2), seen("c", 31, 50, 2)])) == []
    assert "no node held" in next(strays(GOOD, [seen("a", 40, 50, 1)]))
    assert "ends after lease 1" in next(strays(GOOD, [seen("a", 20, 40, 1)]))
