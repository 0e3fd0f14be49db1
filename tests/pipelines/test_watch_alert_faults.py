"""Faults of what a watch tells its events to: the scores go on, and all is told once the fault is over."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.events.store import EventStore
from tests.events.alerts.messages import without_repeats
from tests.pipelines.conftest import Workplace
from tests.support.mqtt import Broker, Subscriber, free_port, need_broker
from tests.support.postgres import PostgresServer, need_postgres
from tests.support.rtsp import need_server
from tests.support.stage import LINES, Stage, Told
from tests.support.watching import SOON, Watching, until
from tests.support.webhook import Request, WebReceiver

KEY, SECRET = "a key that both know", "hunter2"


@dataclass(frozen=True)
class Receivers:
    """Who is told, beside the file."""

    broker: Broker
    web: WebReceiver
    database: PostgresServer
    store: str
    nobody: str

    def alerts(self) -> dict[str, dict[str, Any]]:
        return LINES | {
            "broker": {"type": "mqtt", "host": "127.0.0.1", "port": self.broker.port, "prefix": "site", "timeout": 2.0},
            "web": {"type": "webhook", "url": self.web.url(), "secret": KEY, "timeout": 3.0},
            "nobody": {"type": "webhook", "url": self.nobody, "give_up_after": 1.0},
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_server()
    need_broker()
    need_postgres()
    return tmp_path_factory.mktemp("alarmed")


@pytest.fixture(scope="module")
def receivers(folder: Path) -> Iterator[Receivers]:
    nobody = f"http://guard:{SECRET}@127.0.0.1:{free_port()}/hook"
    with (
        Broker(folder / "broker") as broker,
        WebReceiver() as web,
        PostgresServer(need_postgres()) as database,
    ):
        yield Receivers(broker, web, database, database.new_database(), nobody)


@pytest.fixture(scope="module")
def told(workplace: Workplace, prompt_scenes: Path, folder: Path, receivers: Receivers) -> Iterator[Told]:
    normal = workplace.folder / "normal.mp4"
    with Stage(normal, folder) as stage:
        watch = Watching(
            folder, prompt_scenes, {"gate": stage.camera}, alerts=receivers.alerts(), store=receivers.store
        )
        with watch:
            yield Told(watch, stage)
            assert watch.end() < SOON
    assert watch.process.returncode == 0
    assert SECRET not in watch.said()


def heard(subscriber: Subscriber) -> list[tuple[str, int]]:
    """Ids and versions that came over MQTT, each once."""
    events = [json.loads(text)["event"] for text in subscriber.texts("site/gate/event")]
    return without_repeats([(event["id"], event["version"]) for event in events])


def known(told: Told, *ids: str) -> list[tuple[str, int]]:
    """Ids and versions that the file was told."""
    return [(id, version) for id in ids for _, version in told.of(id)]


def retained(port: int) -> dict[str, str]:
    with Subscriber(port) as late:
        late.settle()
        return {topic: text for topic, text, old in late.received if old}


def test_what_nobody_takes_is_kept_among_the_dead_letters(told: Told, receivers: Receivers) -> None:
    watch, letters = told.watch, told.watch.out / ".alerts" / "nobody.dead.jsonl"
    given_up = watch.metric("msflow_alerts_given_up_total", alert="nobody")
    id = told.begin()
    told.end(id)
    count = len(known(told, id))
    watch.wait_for("msflow_alerts_given_up_total", given_up + count, alert="nobody")
    lines = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [one["message"] for one in lines][-count:] == [one for one in told.messages if one["event"]["id"] == id]
    assert "ConnectError" in lines[-1]["reason"]
    assert SECRET not in letters.read_text()
    assert SECRET not in watch.page("metrics")
    assert watch.metric("msflow_alerts_delivered_total", alert="nobody") == 0


def test_a_broker_that_is_stopped_in_mid_event_is_told_the_rest_in_order(told: Told, receivers: Receivers) -> None:
    watch, broker = told.watch, receivers.broker
    with Subscriber(broker.port) as subscriber:
        first = told.begin()
        until(lambda: (first, 1) in heard(subscriber), "the broker is not told of the event")
        assert retained(broker.port)["site/gate/state"] == "ON"
        with told.undelayed():
            broker.stop()
            told.end(first)
            second = told.begin()
            told.end(second)
            watch.wait_for("msflow_alerts_waiting", 3, alert="broker")
            assert known(told, second)[0] not in heard(subscriber)
            broker.start()
        everything = known(told, first, second)
        until(lambda: heard(subscriber)[-len(everything) :] == everything, "not all is heard in order")
    kept = retained(broker.port)
    assert (kept["site/gate/state"], kept["site/status"]) == ("OFF", "online")
    assert watch.metric("msflow_alerts_given_up_total", alert="broker") == 0


def is_signed(request: Request) -> bool:
    stamp = request.headers["X-Timestamp"]
    digest = hmac.new(KEY.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
    return request.headers["X-Signature-256"] == f"sha256={digest}"


def test_a_web_server_that_fails_and_hangs_is_told_in_order_and_delays_nobody(told: Told, receivers: Receivers) -> None:
    watch, web = told.watch, receivers.web
    web.answer = 500
    until(lambda: watch.metric("msflow_alerts_waiting", alert="web") == 0, "earlier messages still wait")
    before, asked = len(web.accepted), len(web.requests)
    with told.undelayed():
        id = told.begin()
        until(lambda: len(web.requests) >= asked + 2, "it is not tried again")
        web.answer = "hang"
        until(lambda: web.requests[-1].answer == "hang", "it is not tried again")
        told.end(id)  # which the file is told at once
        assert len(web.accepted) == before
    web.answer = 200
    until(lambda: without_repeats(web.accepted[before:]) == known(told, id), "not all arrives in order")
    assert all(is_signed(request) for request in web.requests)
    assert watch.metric("msflow_alerts_retried_total", alert="web") >= 3
    assert watch.metric("msflow_alerts_given_up_total", alert="web") == 0


def test_a_database_that_is_away_in_mid_event_has_each_event_once(told: Told, receivers: Receivers) -> None:
    watch, database = told.watch, receivers.database
    with EventStore(receivers.store) as store:
        first = told.begin()
        until(lambda: first in {one.event.id for one in store.find()}, "the event is not stored")
        with told.undelayed():
            database.stop("immediate")
            told.end(first)
            second = told.begin()
            told.end(second)
            assert watch.wait_for("msflow_alerts_waiting", len(known(told, second)) + 1, alert="store")
            database.start()
        until(lambda: watch.metric("msflow_alerts_waiting", alert="store") == 0, "the database is not told")
        events = [one.event for one in store.find()]
    last = {one["event"]["id"]: one["event"]["version"] for one in told.messages}
    assert sorted((event.id, event.version) for event in events) == sorted(last.items())
    assert {first, second} <= last.keys()
    assert all(event.end is not None for event in events)
