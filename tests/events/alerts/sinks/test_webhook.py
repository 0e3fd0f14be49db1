"""Messages to a web server: signed, and sent again for as long as it takes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from msflow_stream.events.alerts.delivery import DeliveryWorker
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks.base import AlertMessage, GiveUp, Retry, SinkContext
from msflow_stream.events.alerts.sinks.webhook import Webhook
from msflow_stream.types import UserError
from tests.events.alerts.messages import QUICK, a_message, known_by, life, settings, without_repeats
from tests.support.mqtt import free_port, until
from tests.support.webhook import Request, WebReceiver


def webhook(url: str, **options: Any) -> Webhook:
    return Webhook(settings(type="webhook", url=url, **options), SinkContext())


@pytest.fixture(scope="module")
def sink(web_server: WebReceiver) -> Iterator[Webhook]:
    """A sink whose messages come to the receiver."""
    sink = webhook(web_server.url())
    yield sink
    sink.close()


def genuine(request: Request, secret: str, now: float, most: float = 300.0) -> bool:
    """What a receiver does, by the words of the documentation."""
    stamp = request.headers.get("X-Timestamp", "0")
    signed = hmac.new(secret.encode(), stamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    told = request.headers.get("X-Signature-256", "")
    return hmac.compare_digest(told, f"sha256={signed}") and abs(now - int(stamp)) <= most


def test_the_body_is_the_message_with_iso_times(receiver: WebReceiver) -> None:
    webhook(receiver.url("/hook?x=1")).write(a_message("close"))
    (request,) = receiver.requests
    assert request.path == "/hook?x=1"
    assert request.headers["Content-Type"] == "application/json"
    assert AlertMessage.read(request.body.decode()) == a_message("close")
    assert request.message["event"]["start_wall"] == "2026-11-23T03:04:05Z"
    assert "X-Signature-256" not in request.headers


def test_a_receiver_can_check_who_sent_it_and_when(receiver: WebReceiver) -> None:
    webhook(receiver.url(), secret="sesame").write(a_message("open"))
    (request,) = receiver.requests
    assert genuine(request, "sesame", time.time())
    assert not genuine(request, "another", time.time())
    assert not genuine(request, "sesame", time.time() + 400)
    changed = {**request.headers, "X-Timestamp": str(int(time.time()) + 400)}
    assert not genuine(Request("/", changed, request.body, 200), "sesame", time.time() + 400)


def test_a_login_in_the_address_is_used(receiver: WebReceiver) -> None:
    webhook(receiver.url(login="guard:sesame")).write(a_message("open"))
    assert receiver.requests[0].headers["Authorization"] == "Basic Z3VhcmQ6c2VzYW1l"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 302])
def test_these_answers_may_become_others(receiver: WebReceiver, sink: Webhook, status: int) -> None:
    receiver.answer = status
    with pytest.raises(Retry, match=str(status)):
        sink.write(a_message("open"))
    assert len(receiver.requests) == 1  # a redirect is not followed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 301, 308])
def test_these_answers_stay_what_they_are(receiver: WebReceiver, sink: Webhook, status: int) -> None:
    receiver.answer = status
    with pytest.raises(GiveUp, match=str(status)):
        sink.write(a_message("open"))
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_these_answers_are_a_yes(receiver: WebReceiver, sink: Webhook, status: int) -> None:
    receiver.answer = status
    sink.write(a_message("open"))


def test_a_server_that_is_away_or_hangs_is_tried_again(receiver: WebReceiver) -> None:
    with pytest.raises(Retry, match="ConnectError"):
        webhook(f"http://127.0.0.1:{free_port()}/").write(a_message("open"))
    receiver.answer = "hang"
    with pytest.raises(Retry, match="ReadTimeout"):
        webhook(receiver.url(), timeout=0.2).write(a_message("open"))


def test_a_server_that_fails_hangs_and_recovers_gets_everything_in_order(tmp_path: Path, receiver: WebReceiver) -> None:
    sink = webhook(receiver.url(), timeout=0.15)
    worker = DeliveryWorker(
        DeliveryQueue(tmp_path, "hook"), sink.write, random=Random(0), close=sink.close, backoff=QUICK
    )
    messages = [message for number in range(4) for message in life(f"e{number}")]
    receiver.answer = 500
    for message in messages[:4]:
        worker.add(message)
    until(lambda: sum(request.answer == 500 for request in receiver.requests) >= 3)
    receiver.answer = "hang"
    for message in messages[4:8]:
        worker.add(message)
    until(lambda: sum(request.answer == "hang" for request in receiver.requests) >= 2)
    receiver.answer = 200
    for message in messages[8:]:
        worker.add(message)
    until(lambda: worker.report().waiting == 0)
    worker.close()
    assert without_repeats(receiver.accepted) == known_by(messages)
    assert without_repeats([request.known_by for request in receiver.requests]) == known_by(messages)
    assert worker.report().delivered == 12
    assert worker.report().given_up == 0
    assert worker.report().retried >= 5


def test_its_library_does_not_log_the_address(receiver: WebReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    webhook(receiver.url("/services/T0/sesame-path", login="guard:sesame-word")).write(a_message("open"))
    assert "sesame" not in caplog.text


def test_certificates_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read certificates from .*none.pem"):
        webhook("https://127.0.0.1/", ca=tmp_path / "none.pem")
    (tmp_path / "none.pem").write_text("no")
    with pytest.raises(UserError, match="cannot read certificates"):
        webhook("https://127.0.0.1/", ca=tmp_path / "none.pem")
