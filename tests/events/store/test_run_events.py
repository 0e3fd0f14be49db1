"""Events of finished sources reach the database, though it is away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.events.store.run_events import RunEvents
from msflow_stream.types import UserError
from tests.support.events import event
from tests.support.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]


def ids(url: str) -> list[str]:
    with EventStore(url) as store:
        return sorted(one.event.id for one in store.find())


def test_what_a_database_that_is_away_misses_it_gets_later(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    with RunEvents(url) as run_events:
        run_events.add([event("a-1", source="a", end=1.0)])
        postgres_server.stop()
        try:
            run_events.add([event("b-1", source="b", end=1.0), event("b-2", source="b", end=2.0)])
            with pytest.raises(UserError, match=r"2 events are in events\.json alone") as error:
                run_events.finish()
            assert "s3cret" not in str(error.value)
        finally:
            postgres_server.start()
        run_events.add([event("c-1", source="c", end=1.0)])
        assert ids(url) == ["a-1", "b-1", "b-2", "c-1"]
        run_events.finish()
    assert ids(url) == ["a-1", "b-1", "b-2", "c-1"]


def test_an_event_that_is_known_changes_only_if_it_is_found_otherwise(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    found = event("a-1", end=4.0, start_wall=None, version=7)
    for version, end in ((7, 4.0), (3, 4.0), (2, 9.0)):
        with RunEvents(url) as run_events, EventStore(url) as store:
            run_events.add([event("a-1", end=end, start_wall=None, version=version)])
            stored = store.get("a-1")
            if end == 4.0:
                assert stored.event == found
                store.label("a-1", "normal")
                store.keep("a-1", True)
    assert (stored.event.end, stored.event.version, stored.label, stored.kept) == (9.0, 8, "normal", True)
