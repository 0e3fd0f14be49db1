"""What a person does with an alert: a test of its way, and another try with what was given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from msflow_stream.events.alerts.dispatcher import AlertDispatcher
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.types import UserError
from tests.events.alerts.messages import QUICK, a_message, dead, life, settings
from tests.support.mqtt import until
from tests.support.small_disk import fill, small_disk
from tests.support.webhook import WebReceiver

SECRET = "s3cret-path"


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with WebReceiver() as one:
        yield one


@pytest.fixture
def alerts(receiver: WebReceiver, tmp_path: Path) -> Iterator[AlertDispatcher]:
    hook = settings(
        type="webhook", url=receiver.url(f"/{SECRET}"), severity="high", quiet=[{"start": "00:00", "end": "23:59"}]
    )
    one = AlertDispatcher(
        {"hook": hook},
        tmp_path,
        Random(0),
        routes={"gate": ["hook"]},
        always={"store": lambda message: None},
        backoff=QUICK,
    )
    yield one
    one.close()


def test_a_test_goes_by_the_alerts_own_way_whatever_its_filters(alerts: AlertDispatcher, receiver: WebReceiver) -> None:
    alerts.test("hook")
    (request,) = receiver.requests
    assert request.path == f"/{SECRET}"
    event = request.message["event"]
    assert event["source"] == "test"
    assert "test" in event["why"]["text"]
    assert alerts.report()["hook"].delivered == 0, "it is none of the messages that count"
    assert alerts.report()["hook"].sink == "webhook"


@pytest.mark.parametrize("answer", [401, 503])
def test_what_becomes_of_it_is_said_without_secrets(
    alerts: AlertDispatcher, receiver: WebReceiver, answer: int
) -> None:
    receiver.answer = answer
    with pytest.raises(UserError, match=str(answer)) as caught:
        alerts.test("hook")
    assert SECRET not in str(caught.value)
    assert not alerts.report()["hook"].dead


def test_a_receiver_that_hangs_is_waited_for_no_longer_than_asked(
    alerts: AlertDispatcher, receiver: WebReceiver
) -> None:
    receiver.answer = "hang"
    with pytest.raises(UserError, match=r"no answer within 0\.2 s"):
        alerts.test("hook", timeout=0.2)
    receiver.reset()


def test_a_test_does_not_wait_for_a_receiver_that_has_not_come_back(tmp_path: Path) -> None:
    with WebReceiver(answer=503) as receiver:
        hook = settings(type="webhook", url=receiver.url())
        slow = QUICK.model_copy(update={"first": 60.0, "ceiling": 60.0})
        one = AlertDispatcher({"hook": hook}, tmp_path, Random(0), routes={"gate": ["hook"]}, backoff=slow)
        one.publish(a_message("open"), "gate")
        until(lambda: one.report()["hook"].retried == 1)
        receiver.answer = 200
        one.test("hook")
        assert one.report()["hook"].waiting == 1
        one.close()


def test_only_alerts_are_tested(alerts: AlertDispatcher) -> None:
    with pytest.raises(UserError, match="there is no alert 'hok'"):
        alerts.test("hok")
    with pytest.raises(UserError, match="store is no alert"):
        alerts.test("store")


def test_dead_letters_are_delivered_once_somebody_wants_it(tmp_path: Path) -> None:
    with WebReceiver(answer=400) as receiver:
        hook = {"hook": settings(type="webhook", url=receiver.url())}
        routes = {"gate": ["hook"]}
        with_dead = AlertDispatcher(hook, tmp_path, Random(0), routes=routes, backoff=QUICK)
        for message in life("e1"):
            with_dead.publish(message, "gate")
        until(lambda: with_dead.report()["hook"].given_up == 3)
        with_dead.close()
        receiver.reset()
        one = AlertDispatcher(hook, tmp_path, Random(0), routes=routes, backoff=QUICK)
        assert one.report()["hook"].dead == 3, "those of an earlier run"
        assert one.retry_dead("hook") == 3
        until(lambda: one.report()["hook"].delivered == 3)
        assert receiver.accepted == [("e1", 1), ("e1", 2), ("e1", 3)]
        assert one.report()["hook"].dead == 0
        assert one.retry_dead("hook") == 0
        assert len(dead(tmp_path / "hook.dead.jsonl.retried")) == 3
        one.close()


def test_what_finds_no_room_in_the_queue_stays_among_the_dead(tmp_path: Path) -> None:
    queue = DeliveryQueue(tmp_path, "guard", capacity=2)
    for number in range(5):
        queue.add(a_message("open", f"e{number}"))
    assert (len(queue), queue.dead) == (2, 3)
    with pytest.raises(UserError, match="its queue is full"):
        queue.retry_dead()
    first = queue.first()
    assert first is not None
    queue.remove(first)
    assert queue.retry_dead() == 1
    assert [id for _, id, _ in dead(tmp_path / "guard.dead.jsonl")] == ["e1", "e2"]
    assert (len(queue), queue.dead) == (2, 2)
    queue.close()


def test_a_damaged_letter_is_put_aside_and_the_others_are_queued(tmp_path: Path) -> None:
    queue = DeliveryQueue(tmp_path, "guard", capacity=1)
    queue.add(a_message("open", "e1"))
    queue.add(a_message("open", "e2"))
    path = tmp_path / "guard.dead.jsonl"
    path.write_text("nonsense\n" + path.read_text() + '{"message": "no object"}\n')
    first = queue.first()
    assert first is not None
    queue.remove(first)
    assert queue.retry_dead() == 0, "there is room for one line, and that is the damaged one"
    assert queue.retry_dead() == 1
    assert (len(queue), queue.dead) == (1, 1)
    queue.close()


def test_a_full_disk_leaves_the_dead_letters_where_they_are(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 262_144) as disk:
        queue = DeliveryQueue(disk, "guard", capacity=1)
        queue.add(a_message("open", "e1"))
        queue.add(a_message("open", "e2"))
        fill(disk)
        before = (disk / "guard.dead.jsonl").read_bytes()
        first = queue.first()
        assert first is not None
        queue.remove(first)
        with pytest.raises(UserError, match="cannot be"):
            queue.retry_dead()
        assert (disk / "guard.dead.jsonl").read_bytes() == before
        queue.close()
