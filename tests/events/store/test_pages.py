from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.dialects import sqlite

from msflow_stream.events.store import Cursor, EventFilter, EventStore
from msflow_stream.events.store.tables import EventRow, behind
from msflow_stream.types import SEVERITIES, UserError
from tests.support.events import REASON, WALL, message

SEEN = frozenset({"gate", "yard"})


def ids(store: EventStore, limit: int, **which: Any) -> list[list[str]]:
    """The pages of events."""
    pages, cursor = [], None
    while True:
        found, cursor = store.page(EventFilter(**which), cursor, limit)
        pages.append([one.event.id for one in found])
        if cursor is None:
            return pages
        assert Cursor.read(cursor.text) == cursor


def test_pages_hold_each_event_once_newest_first_even_where_many_began_at_once(store_url: str) -> None:
    with EventStore(store_url) as store:
        for number in range(7):
            store.save(message(f"e{number}", start_wall=WALL + timedelta(seconds=number // 4)))
        assert ids(store, 3) == [["e6", "e5", "e4"], ["e3", "e2", "e1"], ["e0"]]
        assert ids(store, 7) == [["e6", "e5", "e4", "e3", "e2", "e1", "e0"]]
        _, cursor = store.page(EventFilter(), None, 2)
        store.save(message("newer", start_wall=WALL + timedelta(days=1)))
        found, _ = store.page(EventFilter(), cursor, 2)
        assert [one.event.id for one in found] == ["e4", "e3"], "what is new moves no page"
        assert store.count() == 8


def test_the_next_newer_event_is_the_one_before_a_place_in_the_list(store_url: str) -> None:
    with EventStore(store_url) as store:
        for number, camera in enumerate(("gate", "yard", "gate", "gate")):
            store.save(message(f"e{number}", source=camera, start_wall=WALL + timedelta(seconds=number // 3)))
        gate = EventFilter(camera="gate")
        walk, place = [], Cursor(WALL, "e0")
        while (newer := store.next_newer(gate, place)) is not None:
            walk.append(newer.event.id)
            place = Cursor(newer.happened, newer.event.id)
        assert walk == ["e2", "e3"]


def test_events_are_found_by_many_ids_at_once_in_their_order(store_url: str) -> None:
    with EventStore(store_url) as store:
        for number in range(3):
            store.save(message(f"e{number}"))
        many = ["e2", "e", *(f"other-{number}" for number in range(1200)), "e0", "e\0", ""]
        assert [stored.event.id for stored in store.find_exact(many)] == ["e2", "e0"]
        assert store.find_exact([]) == []


def test_events_are_found_by_all_that_the_pages_filter_by(store_url: str) -> None:
    with EventStore(store_url) as store:
        for number, camera in enumerate(("gate", "yard", "hall", "gate")):
            changes: dict[str, Any] = {"triggers": ("motion",), "why": REASON} if number == 1 else {}
            changes |= {"severity": SEVERITIES[number % 3], "start_wall": WALL + timedelta(hours=number)}
            store.save(message(f"e{number}", source=camera, **changes))
        store.decide(["e0"], "ann", label="unsure", kept=True, note="100% Ärger_weg")

        def found(**which: Any) -> list[str]:
            assert store.count(EventFilter(**which)) == len(store.find(EventFilter(**which)))
            return [one for page in ids(store, 2, **which) for one in page]

        assert found(cameras=SEEN) == ["e3", "e1", "e0"]
        assert found(cameras=SEEN, camera="hall") == []
        assert found(cameras=frozenset()) == []
        assert found(trigger="motion") == ["e1"]
        assert found(trigger="sur") == []
        assert found(severity="high") == ["e2"]
        assert found(label="unsure") == ["e0"]
        assert found(label="none", cameras=SEEN) == ["e3", "e1"]
        assert (found(kept=True), found(kept=False)) == (["e0"], ["e3", "e2", "e1"])
        assert found(text="WHERE normal is") == ["e1"]
        assert found(text="0% ä") == (["e0"] if "postgres" in store_url else [])  # SQLite knows capitals of ASCII only
        assert found(text="0% Är") == ["e0"]
        assert found(text="_w") == ["e0"]
        assert found(text="%") == ["e0"]
        assert found(text="E2") == ["e2"]
        assert found(text='"') == []
        assert found(text="e\0") == found(camera="gate\0") == found(trigger="\0") == []


@pytest.mark.parametrize("text", ["", "5", "-a", "x-a", "-5-a", "9" * 18 + "-a", "9" * 99 + "-a", "٣-a", "5-\0"])
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no place in the events"):
        Cursor.read(text)


def test_a_cursor_is_exact_to_the_microsecond() -> None:
    at = Cursor(datetime(2031, 7, 9, 1, 2, 3, 999_999, tzinfo=UTC), "gate-5-é")
    assert Cursor.read(at.text) == at


BY_TIME, BY_SOURCE, BY_LABEL = (f"USING INDEX events_by_{what} (" for what in ("time", "source", "label"))


@pytest.mark.parametrize(
    ("which", "plan"),
    [
        ({}, f"SEARCH events {BY_TIME}"),
        ({"since": WALL, "until": WALL + timedelta(days=1)}, f"SEARCH events {BY_TIME}"),
        ({"severity": "medium"}, f"SEARCH events {BY_TIME}"),
        ({"cameras": SEEN, "kept": True}, f"SEARCH events {BY_TIME}"),
        ({"camera": "gate", "severity": "high"}, f"SEARCH events {BY_SOURCE}source=?"),
        ({"label": "violation"}, f"SEARCH events {BY_LABEL}label=?"),
        ({"label": "none"}, f"SEARCH events {BY_LABEL}label=?"),
    ],
)
def test_a_page_is_found_by_an_index_and_not_sorted(which: dict[str, Any], plan: str, tmp_path: Path) -> None:
    query = behind(EventFilter(**which).conditions(select(EventRow)), Cursor(WALL, "e")).limit(50)
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with EventStore(f"sqlite:///{tmp_path}/events.db") as store, store.session() as session:
        steps = [str(row[3]) for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
        assert len(steps) == 1, steps
        assert steps[0].startswith(plan)


def test_events_are_counted_in_an_index_alone(tmp_path: Path) -> None:
    query = EventFilter(cameras=SEEN, severity="medium", label="none").conditions(select(func.count(EventRow.id)))
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with EventStore(f"sqlite:///{tmp_path}/events.db") as store, store.session() as session:
        steps = [str(row[3]) for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert "COVERING INDEX" in steps[0]
