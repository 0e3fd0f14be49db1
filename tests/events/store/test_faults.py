"""Databases that are away, full or locked: the error says that it may be tried again, and then all is there once."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import pytest

from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.events.store import store as store_module
from msflow_stream.types import EventMessage
from tests.support.events import message
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.small_disk import fill, small_disk


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that runs before and after the test."""
    yield postgres_server
    if not postgres_server.runs:
        postgres_server.start()


def messages(first: int) -> list[EventMessage]:
    return [message(f"e{number}") for number in range(first, first + 3)]


def takes(store: EventStore, id: str) -> bool:
    """Whether there is room for an event."""
    try:
        return store.save(message(id))
    except StoreUnavailable:
        return False


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_was_stopped_and_started_again_has_all_events_once(
    server: PostgresServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with EventStore(server.new_database()) as store:
        for one in messages(0):
            assert store.save(one)
        server.stop(mode)
        for one in messages(3):
            with pytest.raises(StoreUnavailable, match="check the address, and that it runs") as away:
                store.save(one)
            assert "\n" not in str(away.value)
        with pytest.raises(StoreUnavailable):
            store.find()
        server.start()
        assert [store.save(one) for one in messages(0) + messages(3)] == [False] * 3 + [True] * 3
        assert sorted(one.event.id for one in store.find()) == [f"e{number}" for number in range(6)]
    assert PASSWORD not in caplog.text
    assert PASSWORD not in str(away.value)


def test_a_server_that_restarts_between_two_calls_is_not_noticed(server: PostgresServer) -> None:
    with EventStore(server.new_database()) as store:
        store.save(message("a"))
        server.stop()
        server.start()
        assert store.save(message("b"))


def test_a_server_that_is_away_at_first_can_be_tried_again(server: PostgresServer) -> None:
    url = server.new_database()
    server.stop()
    with EventStore(url) as store:
        with pytest.raises(StoreUnavailable):
            store.save(message("a"))
        server.start()
        assert store.save(message("a"))


def test_a_wrong_password_is_said_without_the_credentials(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with EventStore(postgres_server.url(password="wr0ng-one")) as store, pytest.raises(StoreUnavailable) as refused:
        store.save(message())
    text = str(refused.value)
    assert "password authentication failed" in text
    for secret in ("wr0ng-one", USER):
        assert secret not in text
        assert secret not in caplog.text
    assert refused.value.__suppress_context__


def test_a_disk_that_is_full_loses_nothing_once_it_has_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**21) as disk, EventStore(f"sqlite:///{disk}/events.db") as store:
        store.save(message("a"))
        filler = fill(disk)
        taken = ["a", *takewhile(lambda id: takes(store, id), (f"b{number}" for number in range(1000)))]
        assert {one.event.id for one in store.find()} == set(taken)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            store.save(message(f"b{len(taken) - 1}"))
        filler.unlink()
        assert store.save(message(f"b{len(taken) - 1}"))
        assert len(store.find()) == len(taken) + 1 < 1000


def test_a_file_that_another_program_holds_locked_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msflow_stream.events.store.connection.BUSY_SECONDS", 0.2)
    path = tmp_path / "events.db"
    with EventStore(f"sqlite:///{path}") as store:
        store.save(message("a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.save(message("b"))
        assert [one.event.id for one in store.find()] == ["a"]
        other.execute("ROLLBACK")
        other.close()
        assert store.save(message("b"))


def test_a_new_file_that_is_locked_while_it_is_opened_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msflow_stream.events.store.connection.BUSY_SECONDS", 0.2)
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.2)
    path = tmp_path / "events.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with EventStore(f"sqlite:///{path}") as store:
        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.save(message("a"))
        other.execute("ROLLBACK")
        other.close()
        assert store.save(message("a"))


def test_a_new_file_that_another_program_writes_to_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def end_writing(seconds: float) -> None:
        pauses.append(seconds)
        other.execute("ROLLBACK")

    monkeypatch.setattr(store_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=end_writing))
    with EventStore(f"sqlite:///{path}") as store:
        assert store.save(message("a"))
    other.close()
    assert len(pauses) == 1
