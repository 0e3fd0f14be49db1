"""The way from a queue to its receiver: in order, at least once, however often the receiver fails."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import Mock

import pytest

from msflow_stream.events import serialization
from msflow_stream.events.alerts.delivery import DeliveryWorker
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks import base
from msflow_stream.events.alerts.sinks.base import AlertMessage, GiveUp, Retry, retrying
from msflow_stream.types import EventMessage
from tests.events.alerts.messages import QUICK, a_message, dead, known_by, life, without_repeats
from tests.support.data import REPOSITORY
from tests.support.mqtt import until


class Receiver:
    """Takes messages, or raises what it is told to."""

    def __init__(self) -> None:
        self.received: list[AlertMessage] = []
        self.attempts = 0
        self.error_for: Callable[[AlertMessage], Exception | None] = lambda message: None

    def __call__(self, message: AlertMessage) -> None:
        self.attempts += 1
        if (error := self.error_for(message)) is not None:
            raise error
        self.received.append(message)


def worker(folder: Path, deliver: Callable[[AlertMessage], None], **options: Any) -> DeliveryWorker:
    return DeliveryWorker(DeliveryQueue(folder, "guard"), deliver, random=Random(0), **{"backoff": QUICK, **options})


def test_what_is_put_in_arrives_as_it_was(tmp_path: Path) -> None:
    receiver = Receiver()
    one = worker(tmp_path, receiver)
    for message in life(updates=5):
        one.add(message)
    until(lambda: len(receiver.received) == 7)
    one.close()
    assert receiver.received == life(updates=5)
    report = one.report()
    assert (report.delivered, report.retried, report.given_up, report.waiting) == (7, 0, 0, 0)
    assert report.last_error is None


def test_a_failing_receiver_is_tried_until_it_works_and_the_order_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver = Receiver()
    receiver.error_for = lambda message: Retry("away") if receiver.attempts < 6 else None
    one = worker(tmp_path, receiver)
    for message in life(updates=2):
        one.add(message)
    until(lambda: len(receiver.received) == 4)
    one.close()
    assert receiver.received == life(updates=2)
    assert one.report().retried == 5
    assert one.report().last_error == "away"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_would_never_arrive_goes_to_the_dead_letters_and_the_next_is_tried(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.error_for = lambda message: GiveUp("nobody there") if message.event.version == 2 else None
    one = worker(tmp_path, receiver)
    for message in life():
        one.add(message)
    until(lambda: len(receiver.received) == 2)
    one.close()
    assert known_by(receiver.received) == [("gate-1", 1), ("gate-1", 3)]
    assert dead(tmp_path / "guard.dead.jsonl") == [("nobody there", "gate-1", 2)]
    assert one.report().given_up == 1


def test_a_message_is_given_up_when_it_is_too_old_but_never_untried(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.error_for = lambda message: Retry("away")
    hours = [0.0]
    box = DeliveryQueue(tmp_path, "guard", clock=lambda: hours[0])
    one = DeliveryWorker(box, receiver, random=Random(0), backoff=QUICK, give_up_after=24.0)
    one.add(a_message("open"))
    until(lambda: receiver.attempts >= 3)
    assert one.report().given_up == 0
    hours[0] = 24.0
    until(lambda: one.report().given_up == 1)
    receiver.error_for = lambda message: None
    one.add(a_message("close", version=2))
    until(lambda: len(receiver.received) == 1)
    one.close()
    assert dead(tmp_path / "guard.dead.jsonl") == [("away", "gate-1", 1)]


def test_attempts_are_counted_for_each_message(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.error_for = lambda message: Retry("exit code 1") if message.kind != "close" else None
    one = worker(tmp_path, receiver, attempts=3)
    for message in life():
        one.add(message)
    until(lambda: len(receiver.received) == 1)
    one.close()
    assert receiver.attempts == 3 + 3 + 1
    assert one.report().given_up == 2


def test_a_bug_costs_its_message_and_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    receiver.error_for = lambda message: KeyError("oops") if message.kind == "open" else None
    one = worker(tmp_path, receiver)
    for message in life():
        one.add(message)
    until(lambda: len(receiver.received) == 2)
    one.close()
    assert dead(tmp_path / "guard.dead.jsonl") == [("internal error (KeyError)", "gate-1", 1)]
    assert caplog.text.count("Traceback") == 1


def test_what_cannot_be_read_back_is_given_up(tmp_path: Path) -> None:
    receiver, box = Receiver(), DeliveryQueue(tmp_path, "guard")
    box.add(a_message("open"))
    queued = box.first()
    assert queued is not None
    queued.text = '{"kind": "from another version"}'
    one = DeliveryWorker(box, receiver, random=Random(0), backoff=QUICK)
    one.add(a_message("close"))
    until(lambda: len(receiver.received) == 1)
    one.close()
    assert one.report().given_up == 1


def test_a_message_becomes_json_once_and_is_read_once_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, bare = Receiver(), EventMessage("open", a_message("open").event)
    written, read = Mock(wraps=serialization.to_json), Mock(wraps=base.from_json)
    monkeypatch.setattr(serialization, "to_json", written)
    monkeypatch.setattr(base, "from_json", read)
    receiver.error_for = lambda message: Retry("away") if receiver.attempts < 4 else None
    one = worker(tmp_path, receiver)
    one.add(bare)
    until(lambda: receiver.received)
    one.close()
    assert (written.call_count, read.call_count) == (1, 1)
    (message,) = receiver.received
    assert message.values == json.loads(message.text) == serialization.to_json(bare)


def test_close_tries_once_more_and_leaves_the_rest_to_the_next_run(tmp_path: Path) -> None:
    receiver, ended = Receiver(), []
    receiver.error_for = lambda message: Retry("away")
    one = worker(tmp_path, receiver, close=lambda: ended.append(True))
    for message in life():
        one.add(message)
    one.close()
    assert ended == [True]
    assert one.report().waiting == 3
    receiver.error_for = lambda message: None
    another = worker(tmp_path, receiver)
    until(lambda: len(receiver.received) == 3)
    another.close()
    assert receiver.received == life()


def test_a_hanging_delivery_does_not_hold_up_the_end_and_is_repeated(tmp_path: Path) -> None:
    freed, receiver = threading.Event(), Receiver()

    def hang(message: AlertMessage) -> None:
        freed.wait()

    one = worker(tmp_path, hang)
    one.add(a_message("open"))
    one.close(0.1)
    another = worker(tmp_path, receiver)
    until(lambda: len(receiver.received) == 1)
    another.close()
    freed.set()


def test_put_does_not_wait_for_the_receiver(tmp_path: Path) -> None:
    freed, begun = threading.Event(), threading.Event()

    def hang(message: AlertMessage) -> None:
        begun.set()
        freed.wait()

    one = worker(tmp_path, hang)
    one.add(a_message("open"))
    begun.wait()
    for number in range(200):  # all of them return though the first is not delivered
        one.add(a_message("update", version=number))
    assert one.report().waiting == 201
    freed.set()
    until(lambda: one.report().waiting == 0)
    one.close()


def test_a_kill_between_delivery_and_note_has_the_message_delivered_again(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\nfrom random import Random\n"
        "from msflow_stream.events.alerts.delivery import DeliveryWorker\n"
        "from msflow_stream.events.alerts.queue import DeliveryQueue\n"
        "from tests.events.alerts.messages import life\n"
        "def deliver(message):\n"
        "    print(message.event.version, flush=True)\n"
        "    if message.event.version == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "one = DeliveryWorker(DeliveryQueue(pathlib.Path(sys.argv[1]), 'guard'), deliver, random=Random(0))\n"
        "for message in life(updates=2): one.add(message)\n"
        "one.close(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split() == ["1", "2"]
    receiver = Receiver()
    one = worker(tmp_path, receiver)
    until(lambda: ("gate-1", 2) in known_by(receiver.received))
    one.close()
    received = [("gate-1", int(version)) for version in done.stdout.split()] + known_by(receiver.received)
    assert received[:3] == [("gate-1", 1), ("gate-1", 2), ("gate-1", 2)]
    versions = [version for _, version in without_repeats(received)]
    assert versions == list(range(1, len(versions) + 1))


class StoreAwayError(Exception):
    """As a store's own."""


def test_a_function_that_saves_is_a_delivery(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.error_for = lambda message: StoreAwayError("no connection") if receiver.attempts < 4 else None
    one = worker(tmp_path, retrying(receiver, StoreAwayError))
    for message in life():
        one.add(message)
    until(lambda: len(receiver.received) == 3)
    one.close()
    assert receiver.received == life()
    assert one.report().last_error == "StoreAwayError: no connection"
