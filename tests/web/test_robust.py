"""The console under questions that take long, and beside a database that is away or held by somebody."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from urllib.request import Request, urlopen

import pytest

from msflow_stream.config.cameras_edit import content_hash
from msflow_stream.config.cameras_file import load_file
from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.events.store import store as store_module
from msflow_stream.web.access import sessions
from msflow_stream.web.access.cookie import cookie_name
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.pages import camera, health
from tests.support.console import ConsoleServer, seeded
from tests.web.access.people import PASSWORD, accounts_of
from tests.web.test_hostile import ask

MANY = 45  # more than there are threads for requests


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    out = seeded(tmp_path_factory.mktemp("robust"), cameras=1, events=1, hours=0.02, evidence=False)
    with ConsoleServer(out) as one:
        yield one


def test_questions_that_take_long_leave_threads_for_the_others(
    server: ConsoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(*_: object) -> dict[str, object]:
        begun.release()
        go_on.wait(20)
        return {}

    monkeypatch.setattr(camera, "history", slow)
    with ThreadPoolExecutor(MANY) as people:
        answers = [people.submit(ask, server, "GET", "/cameras/gate/history") for _ in range(MANY)]
        assert begun.acquire(timeout=20)
        assert begun.acquire(timeout=20)
        assert ask(server, "GET", "/events").status == 200
        assert not begun.acquire(timeout=0.1), "two at once"
        go_on.set()
        assert {answer.result(20).status for answer in answers} == {200}


def test_a_database_that_somebody_holds_keeps_none_but_one_waiting(
    server: ConsoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = server.console.accounts = accounts_of(server.console.store)
    accounts.add("ann", PASSWORD, Role.ADMIN, None, "test")
    token = accounts.sign_in("ann", PASSWORD, "127.0.0.1", "")
    monkeypatch.setattr(sessions, "SEEN_EVERY", timedelta(seconds=-1))
    path = server.console.store.file
    assert path is not None
    cookie = {"Cookie": f"{cookie_name(server.console.store.name)}={token}"}
    with closing(sqlite3.connect(path)) as holder, ThreadPoolExecutor(1) as people:
        holder.execute("BEGIN IMMEDIATE")
        waiting = people.submit(ask, server, "GET", "/events", None, cookie)
        time.sleep(0.3)
        assert ask(server, "GET", "/events", None, cookie).status == 200
        assert not waiting.done()
        holder.rollback()
        assert waiting.result(20).status == 200


def test_all_who_wait_for_a_database_that_cannot_be_opened_hear_of_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def away(*_: object) -> None:
        tried.append(1)
        time.sleep(0.3)
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(store_module, "migrate", away)
    monkeypatch.setattr(EventStore, "_prepare_file", lambda _: None)
    store = EventStore("sqlite:///never.db")
    with ThreadPoolExecutor(20) as people:
        for answer in [people.submit(store.find) for _ in range(20)]:
            assert isinstance(answer.exception(10), StoreUnavailable)
    assert len(tried) <= 2


def test_numbers_beyond_all_that_is_kept_are_no_fault(server: ConsoleServer) -> None:
    assert ask(server, "GET", f"/cameras/gate/bursts/{10**30}").status == 404
    for moment in ("-62135596800", "253402300799", "1e18", "nan"):
        assert ask(server, "GET", f"/cameras/gate/history?until={moment}").status < 500
        assert ask(server, "GET", f"/cameras/gate/history?since={moment}&until={moment}").status < 500


def test_while_an_alert_is_noted_the_others_are_answered(
    server: ConsoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    async def known(*_: object) -> str:
        return "room"

    async def sent(*_: object) -> str:
        return "sent"

    def audit(*_: object) -> None:
        begun.set()
        go_on.wait(10)

    monkeypatch.setattr(health, "_known_alert", known)
    monkeypatch.setattr(server.console.watch, "test_alert", sent)
    monkeypatch.setattr(server.console.accounts, "audit", audit)
    question = Request(f"{server.url}/api/alerts/room/test", b"{}", {"Origin": server.url}, method="POST")
    with ThreadPoolExecutor(1) as people:
        answer = people.submit(lambda: urlopen(question, timeout=20).status)
        assert begun.wait(10)
        assert ask(server, "GET", "/healthz").status == 503
        go_on.set()
        assert answer.result(20) == 200


def test_strangers_are_not_told_where_the_database_is(server: ConsoleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> bool:
        raise StoreUnavailable("event store postgresql://inner.example/events: away")

    monkeypatch.setattr(server.console.accounts, "any", away)
    assert b"inner.example" in ask(server, "GET", "/events").body
    elsewhere = ask(server, "GET", "/events", headers={"X-Forwarded-For": "192.0.2.7"})
    assert elsewhere.status == 503
    assert b"inner.example" not in elsewhere.body
    assert b"inner.example" not in ask(server, "GET", "/healthz").body


def test_a_damaged_record_of_the_watch_is_no_fault_of_the_pages(server: ConsoleServer) -> None:
    (server.console.out / ".watch.json").write_text("{")
    for path in ("/", "/health", "/events", "/status", "/cameras/gate"):
        assert ask(server, "GET", path).status == 200
    (server.console.out / ".watch.json").unlink()
    (server.console.out / ".watch.json").mkdir()
    for path in ("/", "/health", "/status"):
        assert ask(server, "GET", path).status == 200


def test_of_two_who_change_the_areas_at_once_one_is_told(server: ConsoleServer) -> None:
    path = server.console.cameras_file
    assert path is not None
    known = content_hash(path)

    def save(side: float) -> int:
        areas = {"watch": [[[0, 0], [side, 0], [side, side]]], "ignore": [], "privacy": []}
        body = json.dumps({"areas": areas, "hash": known}).encode()
        headers = {"Origin": server.url, "Content-Type": "application/json"}
        return ask(server, "POST", "/cameras/gate/areas", body, headers).status

    with ThreadPoolExecutor(2) as people:
        assert sorted(people.map(save, (0.5, 0.75))) == [200, 422]
    load_file(path)
